// The live connection: one WebSocket that comes back by itself.

const SHORTEST_MS = 500;
const LONGEST_MS = 8000;
// Levels come four times a second: so long without a word means that the other side is gone.
const SILENT_MS = 6000;

export class Connection {
  /**
   * `onOpen`, `onLost` and `onMessage(object)` are called as it goes; `mayTry()` is asked before
   * each attempt and may refuse by giving false.
   */
  constructor({ onOpen, onLost, onMessage, mayTry }) {
    Object.assign(this, { onOpen, onLost, onMessage, mayTry });
    this.pause = SHORTEST_MS;
    this.pictures = "[]";
    this.socket = null;
    this.watch = 0;
    // A phone that wakes up does not wait for the next attempt.
    addEventListener("online", () => this.open());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.open();
    });
  }

  async open() {
    clearTimeout(this.timer);
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    if (!(await this.mayTry())) return;
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v1/live`);
    this.socket = socket;
    socket.onopen = () => {
      this.pause = SHORTEST_MS;
      this.onOpen();
      socket.send(`{"pictures":${this.pictures}}`);
      this.listen();
    };
    socket.onmessage = (event) => {
      this.listen();
      this.onMessage(JSON.parse(event.data));
    };
    socket.onclose = () => this.lost(socket);
  }

  listen() {
    clearTimeout(this.watch);
    const socket = this.socket;
    this.watch = setTimeout(() => {
      socket.close();
      this.lost(socket);
    }, SILENT_MS);
  }

  lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.watch);
    this.onLost();
    this.again();
  }

  again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(2 * this.pause, LONGEST_MS);
  }

  /** Have the log-mel pictures of these feeds from now on. */
  want(feeds) {
    const pictures = JSON.stringify(feeds);
    if (pictures === this.pictures) return;
    this.pictures = pictures;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(`{"pictures":${pictures}}`);
  }
}
