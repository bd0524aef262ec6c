"use strict";

// Turns push on and off for this browser. What a browser is like decides what is said; the server knows the rest.

const push = document.querySelector("[data-push]");

const SAYS = {
  off: "This browser gets no push yet.",
  on: "This browser gets push.",
  blocked: "You blocked notifications of this site. Allow them in the browser's settings for it, and load this page again.",
  impossible: "This browser shows no notifications of websites.",
  atHome: "On an iPhone or iPad, first add CodeNotify to the home screen (Share, then Add to Home Screen) and open it there.",
  failed: "The browser could not subscribe at its push service. In a private window none can; in another one, try again later.",
};

class Refusal extends Error {}

async function ask(url, content) {
  const headers = content && { "Content-Type": "application/json", "X-CSRFToken": ask.token };
  const options = content && { method: "POST", headers, body: JSON.stringify(content) };
  let answer;
  try {
    answer = await fetch(url, options);
  } catch {
    throw new Refusal("CodeNotify cannot be reached. Try again later.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(said.error || "CodeNotify did not understand this page. Load it again.");
  return said;
}

function bytes(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function isFor(subscription, key) {
  const made = new Uint8Array(subscription.options.applicationServerKey || []);
  return made.length === key.length && made.every((byte, index) => byte === key[index]);
}

function show(state, sentence) {
  push.querySelector("[data-push-says]").textContent = sentence || SAYS[state];
  for (const button of push.querySelectorAll("[data-push-turns]")) {
    button.hidden = !((state === "off" && button.dataset.pushTurns === "on") || (state === "on" && button.dataset.pushTurns === "off"));
    button.disabled = false;
  }
}

async function start() {
  if (!("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) {
    const isApple = /iPhone|iPad|Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1;
    return show(isApple ? "atHome" : "impossible");
  }
  await navigator.serviceWorker.register(push.dataset.pushWorker);
  const registration = await navigator.serviceWorker.ready;
  const known = await ask(push.dataset.pushKey);
  ask.token = known.csrf_token;
  const key = bytes(known.public_key);
  const found = await registration.pushManager.getSubscription();
  const isOn = found && isFor(found, key) && known.endpoints.includes(found.endpoint);
  show(Notification.permission === "denied" ? "blocked" : isOn ? "on" : "off");
  for (const button of push.querySelectorAll("[data-push-turns]")) {
    const turn = button.dataset.pushTurns === "on" ? turnOn : turnOff;
    button.addEventListener("click", async () => {
      button.disabled = true;
      await turn(registration, key).catch((error) => show(button.dataset.pushTurns === "on" ? "off" : "on", sentenceOf(error)));
    });
  }
}

async function turnOn(registration, key) {
  // Asked first, as some browsers ask only straight after a click.
  const permission = await Notification.requestPermission();
  if (permission !== "granted") return show(permission === "denied" ? "blocked" : "off");
  const found = await registration.pushManager.getSubscription();
  if (found && !isFor(found, key)) await found.unsubscribe();
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await ask(push.dataset.pushSubscribe, subscription.toJSON());
  location.reload(); // to show it among the channels
}

async function turnOff(registration) {
  const found = await registration.pushManager.getSubscription();
  if (found) {
    await ask(push.dataset.pushUnsubscribe, { endpoint: found.endpoint });
    await found.unsubscribe();
  }
  location.reload();
}

function sentenceOf(error) {
  return error instanceof Refusal ? error.message : SAYS.failed;
}

if (push) start().catch((error) => show("impossible", sentenceOf(error)));
