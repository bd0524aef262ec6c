from django.urls import path

from notifications.views.calendar import calendar_page, end_calendar, member_calendar, renew_calendar
from notifications.views.channels import enable_channel
from notifications.views.preferences import preferences
from notifications.views.unsubscribe import unsubscribe

urlpatterns = [
    path("preferences/", preferences, name="preferences"),
    path("preferences/channels/<int:channel>/enable/", enable_channel, name="enable-channel"),
    path("calendar/", calendar_page, name="calendar"),
    path("calendar/renew/", renew_calendar, name="renew-calendar"),
    path("calendar/end/", end_calendar, name="end-calendar"),
    path("calendar/<str:token>.ics", member_calendar, name="member-calendar"),
    path("unsubscribe/<str:token>/", unsubscribe, name="unsubscribe"),
]
