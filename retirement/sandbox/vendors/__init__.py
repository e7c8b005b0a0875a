"""The simulated third parties, one module each, and the list of all of them.

A vendor's module has its tables, its routes, what it holds of a learner, how a configuration points at it, and
the steps that erase there; it is written from the contract services.md, sections A9, A10, B, C and D. What a vendor
does later it does when the platform's clock has passed that moment (`World.now`, moved by
`POST /_sandbox/clock`): `settle` is called before every answer and every look at the data.
"""

from __future__ import annotations

from retirement.sandbox.vendors import (
    amplitude,
    braze,
    che,
    commerce_coordinator,
    crm,
    demographics,
    hubspot,
    keycloak,
    mailchimp,
    plugin_table,
    salesforce,
    segment,
    zendesk,
)
from retirement.sandbox.vendors.vendor import Vendor

#: In the order in which `--pipeline all` asks them: services that bring a user back come first.
_LISTED: tuple[Vendor, ...] = (
    keycloak.VENDOR,
    che.VENDOR,
    segment.VENDOR,
    braze.VENDOR,
    amplitude.VENDOR,
    hubspot.VENDOR,
    mailchimp.VENDOR,
    zendesk.VENDOR,
    salesforce.VENDOR,
    commerce_coordinator.VENDOR,
    demographics.VENDOR,
    crm.VENDOR,
    plugin_table.VENDOR,
)
VENDORS: dict[str, Vendor] = {vendor.name: vendor for vendor in _LISTED}
