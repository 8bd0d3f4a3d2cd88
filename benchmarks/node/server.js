// express-session with connect-pg-simple, and the same four pages as the Python peers.
"use strict";

const express = require("express");
const session = require("express-session");
const { Pool } = require("pg");
const PgStore = require("connect-pg-simple")(session);

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use(
  session({
    store: new PgStore({
      pool: new Pool(JSON.parse(process.env.BENCH_NODE_POOL)),
      createTableIfMissing: true,
      pruneSessionInterval: false,
      disableTouch: process.env.BENCH_NODE_TOUCH === "0",
    }),
    name: "session",
    secret: "benchmark-benchmark-benchmark-benchmark",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 7 * 24 * 3600 * 1000, sameSite: "lax" },
  }),
);

app.get("/none", (request, response) => response.type("text/plain").send("ok"));
app.get("/read", (request, response) => response.type("text/plain").send(request.session.name));
app.get("/write", (request, response) => {
  request.session.count += 1;
  response.type("text/plain").send("ok");
});
app.get("/start", (request, response) => {
  Object.assign(request.session, JSON.parse(process.env.BENCH_VALUE));
  response.type("text/plain").send("ok");
});

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
