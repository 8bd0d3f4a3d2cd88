from typing import Final

from pgsession.asgi.flash import flashes as flashes
from pgsession.asgi.flash import take_flashes as take_flashes
from pgsession.asgi.probes import Liveness as Liveness
from pgsession.asgi.probes import Readiness as Readiness
from pgsession.asgi.reposting import repost as repost
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
from pgsession.core.old_cookie import OldCookie as OldCookie
from pgsession.core.overview import Asked as Asked
from pgsession.core.overview import Order as Order
from pgsession.core.overview import SignedInUser as SignedInUser
from pgsession.core.overview import asked as asked
from pgsession.core.predecessor import OldSession as OldSession
from pgsession.core.predecessor import Predecessor as Predecessor
from pgsession.memory import MemoryStore as MemoryStore
from pgsession.postgres.sweeping.sweep import Swept as Swept
from pgsession.telemetry.providers import Telemetry as Telemetry

PLACES: Final[dict[str, str]]
