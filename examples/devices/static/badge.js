// The badge: says whether this page's session lives, and shows nothing private once it has ended.

const ENDED = 4401 // the close code of the server for a session that has ended
const LONGEST = 30_000

const badge = document.getElementById("badge")
let wait = 1_000
let socket

function say(text, state) {
  if (badge.textContent !== text) badge.textContent = text
  badge.dataset.state = state
}

function connect() {
  socket = new WebSocket(new URL("/badge", location.href.replace(/^http/, "ws")))
  socket.onopen = () => {
    wait = 1_000
    say("Signed in", "live")
  }
  socket.onclose = event => event.code === ENDED ? ask() : again(connect)
}

// The socket also ends when somebody signs in again in this browser. So ask once who is signed in.
async function ask() {
  let user
  try {
    const response = await fetch("/session", { cache: "no-store" })
    if (!response.ok) throw new Error(response.statusText)
    user = (await response.json()).user
  } catch {
    again(ask) // the server is away: nobody knows whether the session has ended
    return
  }
  if (user === null) end()
  else if (user !== badge.dataset.user) location.reload() // the page is that of another user
  else connect()
}

function again(step) {
  say("Connecting …", "away")
  setTimeout(step, wait * (0.5 + Math.random() / 2))
  wait = Math.min(2 * wait, LONGEST)
}

function end() {
  say("You were signed out", "ended")
  for (const element of document.querySelectorAll("nav, header form")) element.remove()
  const main = document.getElementById("main")
  main.replaceChildren(document.getElementById("ended").content.cloneNode(true))
  document.title = "Signed out · Devices"
  if (document.activeElement === document.body) main.focus() // what had the focus is gone
}

// A browser may keep a page that is left, with its socket closed, and show it again.
addEventListener("pageshow", event => {
  if (event.persisted) ask()
})
addEventListener("pagehide", () => {
  socket.onclose = null
  socket.close()
})

connect()
