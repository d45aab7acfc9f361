"""What events are usually called: labels for names that nobody has registered, and icons by the noun."""

from __future__ import annotations

from collections.abc import Mapping

from zhike.i18n import Text, text

LABELS: Mapping[str, Text] = {
    "app.login": text("Logged in"),
    "app.registered": text("Registered"),
    "call.made": text("Phone call"),
    "campaign.clicked": text("Clicked on a campaign"),
    "card.exchanged": text("Exchanged cards"),
    "cart.added": text("Put into the cart"),
    "contract.signed": text("Contract signed"),
    "coupon.received": text("Got a coupon"),
    "coupon.used": text("Used a coupon"),
    "form.submitted": text("Form sent"),
    "lead.created": text("Became a lead"),
    "member.joined": text("Became a member"),
    "member.level_changed": text("Member level changed"),
    "order.cancelled": text("Order cancelled"),
    "order.created": text("Order placed"),
    "order.paid": text("Order paid"),
    "order.received": text("Order received"),
    "order.refunded": text("Order refunded"),
    "order.shipped": text("Order shipped"),
    "page.viewed": text("Viewed a page"),
    "product.viewed": text("Viewed a product"),
    "quote.sent": text("Quote sent"),
    "review.posted": text("Wrote a review"),
    "service.contacted": text("Contacted service"),
    "store.followed": text("Followed a shop"),
    "store.visited": text("Visited a shop"),
    "visit.made": text("Visit"),
}
"""Names as shops and marketing tools send them."""
