from django.contrib import admin
from django.urls import include, path, re_path

from config import outbox, views

handler400 = "config.views.bad_request"

urlpatterns = [
    path("", include("contests.urls")),
    path("", include("notifications.urls")),
    path("outbox/", views.mails, name="outbox"),
    re_path(rf"^outbox/(?P<name>{outbox.NAME})/$", views.mail, name="outbox-mail"),
    re_path(rf"^outbox/(?P<name>{outbox.NAME})/html/$", views.mail_html, name="outbox-mail-html"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
