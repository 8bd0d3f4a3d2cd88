from typing import Final

from pgsession.asgi.flash import flashes as flashes
from pgsession.asgi.flash import take_flashes as take_flashes
from pgsession.asgi.interruption import Interruption as Interruption
from pgsession.asgi.observed import ObservedOutside as ObservedOutside
from pgsession.asgi.outside import NO_PROOF as NO_PROOF
from pgsession.asgi.outside import Outside as Outside
from pgsession.asgi.probes import Liveness as Liveness
from pgsession.asgi.probes import Readiness as Readiness
from pgsession.asgi.replacement import Replacement as Replacement
from pgsession.asgi.replacement import judge_replacement as judge_replacement
from pgsession.asgi.reposting import repost as repost
from pgsession.asgi.sockets import WatchedSocket as WatchedSocket
from pgsession.asgi.sources import Source as Source
from pgsession.asgi.sources import read_source as read_source
from pgsession.asgi.unavailable_response import OwnResponse as OwnResponse
from pgsession.asgi.watching import Waiter as Waiter
from pgsession.cookie_settings import ChooseCookie as ChooseCookie
from pgsession.cookie_settings import CookieSettings as CookieSettings
from pgsession.cookie_settings import check_cookies as check_cookies
from pgsession.core.adoption import Adopted as Adopted
from pgsession.core.adoption import AdoptingStore as AdoptingStore
from pgsession.core.adoption import Adoption as Adoption
from pgsession.core.adoption import as_adopting_store as as_adopting_store
from pgsession.core.bound import BindingStore as BindingStore
from pgsession.core.bound import Bound as Bound
from pgsession.core.bound import BoundDevice as BoundDevice
from pgsession.core.bound import as_binding_store as as_binding_store
from pgsession.core.bound import binds as binds
from pgsession.core.devices import Device as Device
from pgsession.core.devices import NewDevice as NewDevice
from pgsession.core.devices import in_listing_order as in_listing_order
from pgsession.core.flash import Flash as Flash
from pgsession.core.flash import Flashes as Flashes
from pgsession.core.flash import member_of as member_of
from pgsession.core.flash import message_names as message_names
from pgsession.core.flash import surplus as surplus
from pgsession.core.old_cookie import OldCookie as OldCookie
from pgsession.core.overview import Asked as Asked
from pgsession.core.overview import Order as Order
from pgsession.core.overview import SignedInUser as SignedInUser
from pgsession.core.overview import asked as asked
from pgsession.core.predecessor import OldSession as OldSession
from pgsession.core.predecessor import Predecessor as Predecessor
from pgsession.memory import MemoryStore as MemoryStore
from pgsession.postgres.blocks import calls_within as calls_within
from pgsession.postgres.sweeping.sweep import Swept as Swept
from pgsession.telemetry.providers import Telemetry as Telemetry

PLACES: Final[dict[str, str]]

_REST: Final[tuple[str, ...]]

def finish_import() -> None: ...
