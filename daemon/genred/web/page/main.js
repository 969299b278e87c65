// The page: what every feed plays now, and what it played today.

import { askNoMore, get, send } from "./api.js";
import { Clip } from "./clip.js";
import { Connection } from "./connection.js";
import { Feed } from "./feed.js";
import { still } from "./picture.js";
import { element, timeOfDay } from "./words.js";

// The strip of the day grows by itself this often, also where nothing changes.
const PAST_MS = 60_000;
const PICTURES = 8;
// Smooth enough for what moves slowly, and half the work.
const FRAME_MS = 30;

const byId = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.node = null;
    this.feeds = new Map();
    this.skew = 0;
    this.visible = new Set();
    this.connection = new Connection({
      onOpen: () => this.open(),
      onLost: () => this.tell("waiting", "connection lost, trying again"),
      onMessage: (message) => this.take(message),
      mayTry: () => this.admitted(),
    });
    this.seen = new IntersectionObserver((entries) => this.look(entries), { rootMargin: "100px" });
    this.clip = new Clip(byId("clip"), (label) => this.colourOf(label));
    byId("login").querySelector("form").addEventListener("submit", (event) => this.enter(event));
    byId("leave").querySelector("button").addEventListener("click", () => this.leave());
    setInterval(() => this.feeds.forEach((feed) => feed.past()), PAST_MS);
    let drawn = 0;
    const draw = (now) => {
      if (!still.matches && now - drawn > FRAME_MS) {
        drawn = now;
        this.feeds.forEach((feed) => feed.picture.draw());
      }
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
    this.connection.open();
  }

  /** The node's time, milliseconds: its clock may differ from this machine's. */
  now() {
    return Date.now() + this.skew;
  }

  colourOf(label) {
    return this.node?.labels[label]?.colour ?? "#868d9b";
  }

  tell(state, words) {
    const line = byId("connection");
    line.dataset.state = state;
    if (line.textContent !== words) line.textContent = words;
  }

  /** May it be tried; asks for the token where one is needed. */
  async admitted() {
    let session;
    try {
      session = await get("/api/v1/session");
    } catch {
      this.connection.again();
      return false;
    }
    byId("login").hidden = session.admitted;
    byId("clip").hidden = !session.admitted;
    byId("feeds").hidden = !session.admitted;
    byId("leave").hidden = session.open || !session.admitted;
    if (!session.admitted) {
      this.tell("waiting", "a token is needed");
      byId("token").focus();
    }
    return session.admitted;
  }

  async enter(event) {
    event.preventDefault();
    byId("login-fault").textContent = "";
    try {
      const token = JSON.stringify({ token: byId("token").value });
      await send("POST", "/api/v1/session", token, { "content-type": "application/json" });
      byId("token").value = "";
      this.connection.open();
    } catch (error) {
      byId("login-fault").textContent = error.status ? error.message : "nobody answers; try again";
    }
  }

  async leave() {
    // An answer that comes after the cookie is gone would be a refusal.
    askNoMore();
    try {
      await send("DELETE", "/api/v1/session");
    } finally {
      location.reload();
    }
  }

  async open() {
    this.tell("live", "live");
    try {
      await this.refresh();
    } catch {
      this.connection.socket?.close();
    }
  }

  /** Learn everything anew. */
  async refresh() {
    this.node = await get("/api/v1/node");
    this.skew = Date.parse(this.node.clock) - Date.now();
    byId("node").textContent = this.node.node;
    const { model, provider, version, started_at: started } = this.node;
    byId("about").textContent = `${model} on ${provider.toUpperCase()}, genred ${version}, since ${timeOfDay(started)}`;
    document.title = `genred ${this.node.node}`;
    const { feeds } = await get("/api/v1/feeds");
    const ids = new Set(feeds.map((feed) => feed.id));
    for (const [id, feed] of this.feeds) {
      if (ids.has(id)) continue;
      this.seen.unobserve(feed.card);
      feed.card.remove();
      this.feeds.delete(id);
    }
    for (const id of ids) {
      if (!this.feeds.has(id)) {
        const feed = new Feed(id, this);
        this.feeds.set(id, feed);
        byId("feeds").append(feed.card);
        this.seen.observe(feed.card);
      }
      get(`/api/v1/feeds/${id}`).then((detail) => this.feeds.get(id)?.fill(detail), () => {});
    }
    byId("feeds").querySelector(":scope > .empty")?.remove();
    if (!ids.size) byId("feeds").append(element("p", "There are no feeds.", "empty"));
  }

  take(message) {
    const feed = this.feeds.get(message.feed);
    switch (message.message) {
      case "levels": {
        const told = Object.entries(message.feeds);
        if (this.node && (told.length !== this.feeds.size || told.some(([id]) => !this.feeds.has(id)))) {
          this.refreshSoon();
        }
        for (const [id, levels] of told) this.feeds.get(id)?.takeLevels(levels);
        break;
      }
      case "picture":
        feed?.picture.take(message);
        break;
      case "state":
        feed?.takeState(message);
        break;
      case "event":
        feed?.takeEvent(message);
        break;
    }
  }

  /** Other feeds than before: the configuration was read again. */
  refreshSoon() {
    if (this.refreshing) return;
    this.refreshing = true;
    this.refresh()
      .catch(() => {})
      .finally(() => setTimeout(() => (this.refreshing = false), 1000));
  }

  look(entries) {
    for (const entry of entries) {
      const id = entry.target.id.slice("card-".length);
      const feed = this.feeds.get(id);
      if (feed) feed.picture.visible = entry.isIntersecting;
      this.visible[entry.isIntersecting ? "add" : "delete"](id);
    }
    this.connection.want([...this.visible].filter((id) => this.feeds.has(id)).slice(0, PICTURES));
  }
}

new Page();
