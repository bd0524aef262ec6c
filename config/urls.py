from django.contrib import admin
from django.urls import include, path, re_path

from config import outbox, views
from notifications import views as notifications

urlpatterns = [
    path("", include("contests.urls")),
    path("preferences/", notifications.preferences, name="preferences"),
    path("preferences/channels/<int:channel>/enable/", notifications.enable_channel, name="enable-channel"),
    path("unsubscribe/<str:token>/", notifications.unsubscribe, name="unsubscribe"),
    path("outbox/", views.mails, name="outbox"),
    re_path(rf"^outbox/(?P<name>{outbox.NAME})/$", views.mail, name="outbox-mail"),
    re_path(rf"^outbox/(?P<name>{outbox.NAME})/html/$", views.mail_html, name="outbox-mail-html"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
