"""How times are written where no page says otherwise, which is Django admin. Always with the zone."""

DATETIME_FORMAT = "Y-m-d H:i e"
