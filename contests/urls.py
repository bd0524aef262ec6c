from django.urls import path, re_path

from contests.views.contest import contest_file, contest_page
from contests.views.feeds import atom_feed, calendar_feed
from contests.views.listing import ContestsView
from contests.views.month import month_page

# A key is whatever its platform says, slashes included: only what comes after the last one tells page and file apart.
urlpatterns = [
    path("", ContestsView.as_view(), name="contests"),
    re_path(r"^contests/month/(?P<year>20[0-9]{2})-(?P<month>0[1-9]|1[0-2])/$", month_page, name="month"),
    path("contests/<str:platform>/<path:key>/contest.ics", contest_file, name="contest-file"),
    path("contests/<str:platform>/<path:key>/", contest_page, name="contest"),
    path("feeds/<str:code>.atom", atom_feed, name="atom-feed"),
    path("feeds/<str:code>.ics", calendar_feed, name="calendar-feed"),
]
