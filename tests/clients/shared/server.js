// The real server on free ports: what the suites of clients for Node need.

const assert = require("node:assert");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function freePort() {
  return new Promise((done) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

class Server {
  /** `more`: more arguments for `serve`. */
  constructor(binary, folder, ...more) {
    Object.assign(this, { binary, folder, more });
  }

  async start() {
    this.http ??= await freePort();
    this.postgres ??= await freePort();
    fs.mkdirSync(this.folder, { recursive: true });
    const log = fs.openSync(`${this.folder}/log`, "a");
    const words = ["serve", "--data", `${this.folder}/data`, "--keys", `${this.folder}/keys`];
    words.push("--http", `127.0.0.1:${this.http}`, "--postgres", `127.0.0.1:${this.postgres}`, ...this.more);
    this.process = spawn(this.binary, words, { stdio: ["ignore", log, log] });
    for (let n = 0; n < 1200; n++) {
      assert.strictEqual(this.process.exitCode, null, fs.readFileSync(`${this.folder}/log`, "utf8"));
      const status = await new Promise((done) => {
        const asked = http.get(`http://127.0.0.1:${this.http}/healthz`, (answer) => done(answer.resume().statusCode));
        asked.on("error", () => done(0));
      });
      if (status === 200) return this;
      await pause(50);
    }
    throw new Error("the server does not answer");
  }

  async stop(how = "SIGTERM") {
    const gone = new Promise((done) => this.process.once("exit", done));
    this.process.kill(how);
    await gone;
  }
}

module.exports = { Server, pause };
