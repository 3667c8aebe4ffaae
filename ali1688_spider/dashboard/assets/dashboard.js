"use strict";

// The live parts of the page come as server-sent events, each as HTML that the server has escaped.

const TOKEN = "ali1688-token";

function say(text) {
  document.querySelector("#said").textContent = text;
}

function replace(section, html) {
  const focused = section.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = [...section.querySelectorAll(".scroll")].map((box) => [box.scrollTop, box.scrollLeft]);
  section.innerHTML = html;
  section.querySelectorAll(".scroll").forEach((box, n) => {
    if (scrolled[n]) [box.scrollTop, box.scrollLeft] = scrolled[n];
  });
  translateWithin(section);
  section.querySelectorAll(".plot").forEach(makeReadable);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function listen() {
  const events = new EventSource("/api/events?as=html");
  const warning = document.querySelector("#connection");
  events.addEventListener("open", () => (warning.hidden = true));
  events.addEventListener("error", () => {
    warning.hidden = false;
    // The browser tries again by itself, unless it was refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
  events.addEventListener("section", (event) => {
    const { name, html } = JSON.parse(event.data);
    const section = document.getElementById(name);
    if (section?.matches("[data-live]")) replace(section, html);
  });
}

// What changes something needs the token: the one of the address that scrapy dashboard printed, or
// one that is asked for. It stays in this tab.

function takeTokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  sessionStorage.setItem(TOKEN, token);
  history.replaceState(null, "", location.pathname + location.search);
}

function askToken() {
  const dialog = document.querySelector("#token");
  const input = dialog.querySelector("input[type='password']");
  const opener = document.activeElement?.id;
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close();
      resolve(input.value);
    };
    dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
    dialog.onclose = () => {
      if (opener) document.getElementById(opener)?.focus();
      resolve("");
    };
  });
}

async function act(address, values) {
  let token = sessionStorage.getItem(TOKEN) || (await askToken());
  while (token) {
    const response = await fetch(address, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${token}`,
        "Content-Type": "application/json",
        "X-Ali1688-Action": "1",
      },
      body: JSON.stringify(values),
    });
    if (response.status !== 401) {
      sessionStorage.setItem(TOKEN, token);
      const { text, zh } = await response.json();
      say(document.documentElement.lang === "en" ? text : zh);
      return;
    }
    sessionStorage.removeItem(TOKEN);
    token = await askToken();
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-retry], [data-retry-reason]");
  if (!button) return;
  button.disabled = true;
  const { retry, retryReason } = button.dataset;
  try {
    await act("/api/failed/retry", retry ? { ids: [retry] } : { reason: retryReason });
  } catch (error) {
    say(String(error));
  } finally {
    button.disabled = false;
  }
});

// The language that the reader chose is that of the next page, too.

const LANGUAGE = "ali1688-language";

function keepLanguage() {
  const chosen = localStorage.getItem(LANGUAGE);
  if (chosen && chosen !== document.documentElement.lang) {
    document.querySelector(`.languages button[lang="${chosen}"]`)?.click();
  }
  document.addEventListener("translated", () => {
    localStorage.setItem(LANGUAGE, document.documentElement.lang);
  });
}

// Times also in the zone of the reader.

function showLocalTimes() {
  for (const time of document.querySelectorAll("[hidden] > time")) {
    time.textContent = new Date(time.dateTime).toLocaleString();
    time.parentElement.hidden = false;
  }
}

keepLanguage();
showLocalTimes();
takeTokenOfAddress();
if (document.querySelector("[data-live]")) listen();
