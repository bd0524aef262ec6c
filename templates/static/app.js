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

function offerBrowserZone() {
  for (const button of document.querySelectorAll("[data-takes-browser-zone]")) {
    const select = document.getElementById(button.dataset.takesBrowserZone);
    if (![...select.options].some((option) => option.value === browserZone)) continue;
    const showWhereItHelps = () => (button.hidden = select.value === browserZone);
    button.textContent = `Use ${browserZone.replaceAll("_", " ")}, this browser's zone`;
    button.addEventListener("click", () => {
      select.value = browserZone;
      showWhereItHelps();
      select.focus();
    });
    select.addEventListener("change", showWhereItHelps);
    showWhereItHelps();
  }
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

function closeMenusBeside() {
  const close = (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (event.key === "Escape" || (event.type === "click" && !menu.contains(event.target))) menu.open = false;
    }
  };
  document.addEventListener("click", close);
  document.addEventListener("keydown", close);
}

tellZone();
keepCountdownsFresh();
offerBrowserZone();
offerCopying();
closeMenusBeside();
