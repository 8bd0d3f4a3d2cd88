// The badge: says whether this page's session lives, and shows nothing private once it has ended.

const ENDED = 4401 // the close code of the server for a session that has ended
const PROOF_ENDED = 4408 // the same for one that goes on: the browser proves its device again
const LONGEST = 30_000
const SECOND_LOOK = 5_000

const badge = document.getElementById("badge")
let wait = 1_000
let ended = false
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
  socket.onclose = event => {
    if (event.code === ENDED) ask()
    else if (event.code === PROOF_ENDED) connect()
    else again(connect)
  }
}

// The socket also ends when somebody signs in again in this browser. So ask who is signed in.
async function ask() {
  let user
  try {
    const response = await fetch("/session", { cache: "no-store" })
    if (!response.ok) throw new Error(response.statusText)
    user = (await response.json()).user
  } catch {
    if (!ended) again(ask) // the server is away: nobody knows whether the session has ended
    return
  }
  if (user === null) end()
  else if (ended || user !== badge.dataset.user) location.reload() // this page is out of date
  else connect()
}

function again(step) {
  say("Connecting …", "away")
  setTimeout(step, wait * (0.5 + Math.random() / 2))
  wait = Math.min(2 * wait, LONGEST)
}

// The browser may get its new cookie only after this: the answer to a sign-in in another tab is late.
// So ask once more some seconds later, and whenever the user looks at this page again.
function end() {
  if (ended) return
  ended = true
  setTimeout(ask, SECOND_LOOK)
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
document.addEventListener("visibilitychange", () => {
  if (ended && document.visibilityState === "visible") ask()
})
addEventListener("pagehide", () => {
  socket.onclose = null
  socket.close()
})

connect()
