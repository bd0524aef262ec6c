from django.urls import path

from notifications.views.channels import enable_channel
from notifications.views.preferences import preferences
from notifications.views.unsubscribe import unsubscribe

urlpatterns = [
    path("preferences/", preferences, name="preferences"),
    path("preferences/channels/<int:channel>/enable/", enable_channel, name="enable-channel"),
    path("unsubscribe/<str:token>/", unsubscribe, name="unsubscribe"),
]
