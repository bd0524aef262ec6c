"""What anybody may see of contests: the list, the month, one contest, and feeds of them."""
