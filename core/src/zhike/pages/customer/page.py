"""The page of one customer: who they are, what they come to, and the panels, each of which loads by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zhike.access.masking import field_of, rules_of
from zhike.access.roles import EVENTS_READ
from zhike.customers import dossier as dossiers
from zhike.customers.figures import figures
from zhike.customers.identities import LABELS
from zhike.events.telling import label_of
from zhike.i18n import Text, text
from zhike.pages import panels
from zhike.pages.customer import profile
from zhike.ui import Html, PageCall, Redirect

if TYPE_CHECKING:
    from zhike.customers.dossier import Dossier

_PLACES = ("customer.header", "customer.main", "customer.side")
_TILES = 3


async def show(call: PageCall) -> Html | Redirect:
    """Show a customer; who was merged away is shown as the winner."""
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    if dossier.customer.id != call.id("customer_id"):
        return call.redirect(
            f"/customers/{dossier.customer.id}",
            toast=text("Customer {id} was merged into this one", id=call.id("customer_id")),
        )
    kept, empty = profile.filled(await profile.groups(call, dossier))
    found = None
    if EVENTS_READ in dossier.allowed:
        found = await figures(call.host.platform, call.actor, dossier.customer.id, _TILES)
    header, main, side = (panels.placed(call, place) for place in _PLACES)
    return await call.render(
        "customer/page.html",
        **head(call, dossier, "overview"),
        groups=kept,
        empty=empty,
        said=lambda fact: profile.said(call, fact),
        shown=profile.shown,
        labels=profile.labels,
        identities=_identities(call, dossier),
        figures=found,
        kinds=lambda name: label_of(call.host.platform.registry, name, call.locale),
        header_panels=header,
        main_panels=main,
        side_panels=side,
    )


async def panel(call: PageCall) -> Html:
    """Draw one panel; whether the reader sees the customer is asked first."""
    found = panels.find(call, call.path["key"], *_PLACES)
    dossier = await dossiers.get(call.host.platform, call.actor, call.id("customer_id"))
    drawn = await panels.draw(call, found, customer_id=dossier.customer.id)
    if call.fragment:
        return drawn
    return await call.render("customer/panel.html", **head(call, dossier, "overview"), panel=found, drawn=drawn)


def head(call: PageCall, dossier: Dossier, tab: str) -> dict[str, Any]:
    """Return what the head of all pages about a customer is drawn from.

    Args:
        call: The request.
        dossier: The customer.
        tab: Which of the pages it is: `overview`, `relations`, `history` or `edit`.
    """
    field = call.host.platform.customer_fields.known.get("stage")
    stage = dossier.customer.stage
    return {
        "dossier": dossier,
        "customer": dossier.customer,
        "name": name_of(dossier),
        "stage": profile.labels(field, stage)[0] if field and stage else stage,
        "rules": rules_of(call.actor),
        "tab": tab,
    }


def name_of(dossier: Dossier) -> Text | str:
    """Return what a customer is called on pages."""
    return dossier.customer.name or text("Customer {id}", id=dossier.customer.id)


def _identities(call: PageCall, dossier: Dossier) -> list[dict[str, Any]]:
    rules = rules_of(call.actor)
    return [
        {
            "namespace": namespace,
            "label": LABELS.get(namespace, namespace),
            "values": values,
            "field": field_of(namespace),
            "masked": field_of(namespace) in rules,
        }
        for namespace, values in dossier.customer.identities.items()
    ]
