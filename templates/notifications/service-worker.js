{% load static %}"use strict";

// Shows what is pushed to this browser, and opens it. It keeps no copy of the site: pages come from the network.

const ICON = "{% static 'icon-192.png' %}";
const KEY_URL = "{% url 'push-key' %}";
const SUBSCRIBE_URL = "{% url 'push-subscribe' %}";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

// A browser takes a push that shows nothing for a fault of the site's, so whatever comes is shown.
self.addEventListener("push", (event) => {
  const { title, body, url, tag, id } = read(event.data);
  event.waitUntil(
    self.registration.showNotification(title || "CodeNotify", {
      body: body || "There is news of your contests.",
      tag: tag || id || "",
      renotify: Boolean(tag || id),
      icon: ICON,
      data: { url },
    }),
  );
});

function read(data) {
  try {
    return Object(data.json());
  } catch {
    return {};
  }
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(ownAddress(event.notification.data.url)));
});

// No message leads away from this site.
function ownAddress(url) {
  const home = new URL("/", self.location.origin);
  try {
    const address = new URL(url || "/", home);
    return address.origin === home.origin ? address.href : home.href;
  } catch {
    return home.href;
  }
}

async function open(address) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = windows.find((each) => each.url === address);
  return there ? there.focus() : self.clients.openWindow(address);
}

// The push service gave this browser another address. Where the member turned push off meanwhile, it stays off.
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(subscribeAgain(event)));

async function subscribeAgain({ oldSubscription, newSubscription }) {
  const { public_key, csrf_token } = await (await fetch(KEY_URL)).json();
  const subscription =
    newSubscription ||
    (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: public_key }));
  const answer = await fetch(SUBSCRIBE_URL, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrf_token },
    body: JSON.stringify({ ...subscription.toJSON(), replaces: oldSubscription ? oldSubscription.endpoint : "" }),
  });
  if (answer.status === 404) await subscription.unsubscribe();
}
