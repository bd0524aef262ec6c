"use strict";

const ZONE_COOKIE = "time_zone";

// Browsers go on saying the names that some cities had when their zone was first written down.
const RENAMED = {
  "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Europe/Kiev": "Europe/Kyiv",
};
const namedZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const browserZone = RENAMED[namedZone] || namedZone;

function cookie(name) {
  const pair = document.cookie.split("; ").find((each) => each.startsWith(`${name}=`));
  return pair && pair.slice(name.length + 1);
}

// Visitors without an account see times in their browser's zone: the server learns it from a cookie. The page is
// loaded again once, where it shows times in another zone and the cookie was accepted.
function tellZone() {
  if (document.documentElement.dataset.visitor !== "anonymous" || !browserZone || cookie(ZONE_COOKIE) === browserZone) return;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${ZONE_COOKIE}=${browserZone}; path=/; max-age=31536000; samesite=lax${secure}`;
  const shown = document.querySelector("[data-zone]");
  if (shown && shown.dataset.zone !== browserZone && cookie(ZONE_COOKIE) === browserZone) location.reload();
}

// The same words as the filter `countdown` of contests/templatetags.
function inWords(milliseconds) {
  const minutes = Math.floor(milliseconds / 60000);
  if (minutes < 1) return "less than a minute";
  const days = Math.floor(minutes / 1440);
  const parts = [
    [days, days === 1 ? "day" : "days"],
    [Math.floor(minutes / 60) % 24, "h"],
    [minutes % 60, "min"],
  ];
  const words = parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`);
  return words.slice(0, days >= 7 ? 1 : 2).join(" ");
}

// Countdowns stay true while the page is open. When one runs out, the page is loaded again, so that what started is
// among what runs; not for those over at first sight, lest a clock that is ahead of the server's does it for ever.
function keepCountdownsFresh() {
  const countdowns = [...document.querySelectorAll("[data-until]")].map((element) => {
    const until = Date.parse(element.dataset.until);
    return { element, until, wasOpen: until > Date.now() };
  });
  if (!countdowns.length) return;
  const refresh = () => {
    const now = Date.now();
    for (const { element, until } of countdowns) {
      const text = until > now ? element.dataset.says.replace("{}", inWords(until - now)) : element.dataset.then;
      if (element.textContent !== text) element.textContent = text;
    }
    if (!document.hidden && countdowns.some(({ until, wasOpen }) => wasOpen && until <= now - 2000)) location.reload();
  };
  refresh();
  setInterval(refresh, 5000);
  document.addEventListener("visibilitychange", refresh);
}

// A member's zone is guessed by the browser, and theirs to confirm: with one press it is saved with whatever else is in
// the form.
function offerBrowserZone() {
  for (const hint of document.querySelectorAll("[data-offers-zone]")) {
    const select = document.getElementById(hint.dataset.offersZone);
    if (select.value === browserZone || ![...select.options].some((option) => option.value === browserZone)) continue;
    const say = (name, zone) => {
      for (const element of hint.querySelectorAll(`[data-zone-${name}]`)) element.textContent = zone.replaceAll("_", " ");
    };
    say("here", browserZone);
    say("kept", select.value);
    hint.hidden = false;
    hint.querySelector("button").addEventListener("click", () => {
      select.value = browserZone;
      select.form.requestSubmit();
    });
  }
}

// Words that are typed with commas between them are shown one by one, each with a button that takes it away.
function showTokens() {
  for (const list of document.querySelectorAll("[data-tokens-of]")) {
    const input = document.getElementById(list.dataset.tokensOf);
    const words = () => [...new Set(input.value.toLowerCase().split(/[,;]/).map((word) => word.trim().replace(/\s+/g, " ")))].filter(Boolean);
    const show = () => {
      list.replaceChildren(...words().map((word) => {
        const [item, button] = [document.createElement("li"), document.createElement("button")];
        button.type = "button";
        button.textContent = "×";
        button.setAttribute("aria-label", `Leave out “${word}” no more`);
        button.addEventListener("click", () => {
          input.value = words().filter((other) => other !== word).join(", ");
          show();
          input.focus();
        });
        item.append(word, button);
        return item;
      }));
    };
    input.addEventListener("input", show);
    show();
  }
}

// While a test is on its way, its line is taken anew from the server every other second; the rest of the page, where
// something may be half typed, stays as it is.
function watchTests() {
  const watched = () => [...document.querySelectorAll("[data-watched]")];
  const look = async () => {
    if (!watched().length) return;
    try {
      const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of watched()) {
        const now = fresh.getElementById(old.id);
        if (!now) continue;
        old.replaceChildren(...now.childNodes);
        old.toggleAttribute("data-watched", now.hasAttribute("data-watched"));
      }
    } catch {
      // Out of reach at the moment: it is asked again.
    }
    setTimeout(look, 2000);
  };
  if (watched().length) setTimeout(look, 1000);
}

// Only where the page is secure do browsers let it copy; elsewhere what there is to copy can be selected.
function offerCopying() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("[data-copies]")) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).value);
      button.textContent = button.dataset.says;
      setTimeout(() => (button.textContent = label), 3000);
    });
  }
}

// To follow or mute a contest leaves the page where it is: of the one that comes back, only what is said of that contest
// is taken. Where that fails, the form is sent as it is without this script.
function chooseInPlace() {
  const form = document.getElementById("choices");
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    const { submitter } = event;
    event.preventDefault();
    try {
      const answer = await fetch(submitter.formAction, { method: "POST", body: new FormData(form, submitter) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const buttons = submitter.parentElement;
      const told = document.getElementById("what-comes");
      const [freshButtons, freshTold] = [page.getElementById(buttons.id), page.getElementById("what-comes")];
      if (!freshButtons) throw new Error("It cannot be chosen any more.");
      buttons.replaceChildren(...freshButtons.childNodes);
      buttons.querySelector(`[data-wish="${submitter.dataset.wish}"]`).focus();
      if (told && freshTold) told.replaceChildren(...freshTold.childNodes);
    } catch {
      form.action = submitter.formAction;
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "wish", value: submitter.value }));
      form.submit();
    }
  });
}

// Who clicks twice wants it once, and would be shown what came of the second click: of a link to confirm an address, that
// there is none any more. A little later it is a new wish, as where the first one got lost on the way.
function sendOnce() {
  const sentAt = new WeakMap();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (event.timeStamp - sentAt.get(form) < 1500) event.preventDefault();
    else sentAt.set(form, event.timeStamp);
  });
}

function closeMenusBeside() {
  const close = (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      // Who goes by keyboard stays where the menu is, and not on a link that is out of sight.
      if (event.key === "Escape" && menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      if (event.key === "Escape" || (event.type === "click" && !menu.contains(event.target))) menu.open = false;
    }
  };
  document.addEventListener("click", close);
  document.addEventListener("keydown", close);
}

tellZone();
keepCountdownsFresh();
offerBrowserZone();
showTokens();
watchTests();
chooseInPlace();
offerCopying();
sendOnce();
closeMenusBeside();
