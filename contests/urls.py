from django.urls import path, re_path
from django.views.generic import RedirectView

from contests.views.contest import contest_file, contest_page, platform_contests
from contests.views.feeds import atom_feed, calendar_feed
from contests.views.listing import ContestsView
from contests.views.month import month_page, this_month

# A key is whatever its platform says, slashes included: only what comes after the last one tells page and file apart.
urlpatterns = [
    path("", ContestsView.as_view(), name="contests"),
    path("contests/", RedirectView.as_view(pattern_name="contests", query_string=True)),
    path("contests/month/", this_month),
    re_path(r"^contests/month/(?P<year>20[0-9]{2})-(?P<month>0[1-9]|1[0-2])/$", month_page, name="month"),
    path("contests/<str:platform>/", platform_contests),
    path("contests/<str:platform>/<path:key>/contest.ics", contest_file, name="contest-file"),
    path("contests/<str:platform>/<path:key>/", contest_page, name="contest"),
    path("feeds/<str:code>.atom", atom_feed, name="atom-feed"),
    path("feeds/<str:code>.ics", calendar_feed, name="calendar-feed"),
]
