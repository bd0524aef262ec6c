from django.urls import path

from notifications.views.account import account_page, delete_account, export_account
from notifications.views.calendar import calendar_page, end_calendar, member_calendar, renew_calendar
from notifications.views.channels import (
    ChannelsView,
    choose_purposes,
    enable_channel,
    name_channel,
    remove_channel,
    send_test,
)
from notifications.views.choices import choose
from notifications.views.inbox import inbox_page, open_one, read_all, read_one
from notifications.views.numbers import add_number, verify_number
from notifications.views.preferences import preferences
from notifications.views.push import push_key, push_subscribe, push_unsubscribe
from notifications.views.reminders import reminders
from notifications.views.unsubscribe import unsubscribe
from notifications.views.web_app import manifest, service_worker
from notifications.views.webhooks import whatsapp

urlpatterns = [
    path("preferences/", preferences, name="preferences"),
    path("choices/<int:contest>/", choose, name="choose"),
    path("reminders/", reminders, name="reminders"),
    path("inbox/", inbox_page, name="inbox"),
    path("inbox/read/", read_all, name="read-all"),
    path("inbox/<int:notification>/read/", read_one, name="read-told"),
    path("inbox/<int:notification>/open/", open_one, name="open-told"),
    path("channels/", ChannelsView.as_view(), name="channels"),
    path("accounts/email/", ChannelsView.as_view(), name="account_email"),  # in place of allauth's page
    path("channels/purposes/", choose_purposes, name="choose-purposes"),
    path("channels/<int:channel>/name/", name_channel, name="name-channel"),
    path("channels/<int:channel>/enable/", enable_channel, name="enable-channel"),
    path("channels/<int:channel>/test/", send_test, name="test-channel"),
    path("channels/<int:channel>/remove/", remove_channel, name="remove-channel"),
    path("calendar/", calendar_page, name="calendar"),
    path("calendar/renew/", renew_calendar, name="renew-calendar"),
    path("calendar/end/", end_calendar, name="end-calendar"),
    path("calendar/<str:token>.ics", member_calendar, name="member-calendar"),
    path("channels/whatsapp/", add_number, name="add-number"),
    path("channels/whatsapp/<uuid:verification>/", verify_number, name="verify-number"),
    path("webhooks/whatsapp/", whatsapp, name="whatsapp-webhook"),
    path("account/", account_page, name="account"),
    path("account/export/", export_account, name="export-account"),
    path("account/delete/", delete_account, name="delete-account"),
    path("push/key/", push_key, name="push-key"),
    path("push/subscribe/", push_subscribe, name="push-subscribe"),
    path("push/unsubscribe/", push_unsubscribe, name="push-unsubscribe"),
    path("service-worker.js", service_worker, name="service-worker"),
    path("manifest.webmanifest", manifest, name="manifest"),
    path("unsubscribe/<str:token>/", unsubscribe, name="unsubscribe"),
]
