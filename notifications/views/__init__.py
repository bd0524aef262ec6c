"""The pages on which members say what they want to hear of, and that they don't any more: a module a page."""
