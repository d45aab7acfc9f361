"""The words of the audit trail for people: what was done, by whom, and to what."""

from __future__ import annotations

from collections.abc import Mapping

from zhike.contracts import EventType
from zhike.i18n import Text, text

ACTIONS: Mapping[str, Text] = {
    "audit.verify": text("Verified the audit trail"),
    "bulk.start": text("Changed many customers"),
    "calendar.delete_day": text("Removed a day of a calendar"),
    "calendar.import_days": text("Imported days of a calendar"),
    "calendar.put": text("Changed a calendar"),
    "consumer.backfill": text("Offered old events to a consumer"),
    "consumer.pause": text("Paused a consumer"),
    "consumer.rebuild": text("Had a consumer start over"),
    "consumer.resume": text("Let a consumer go on"),
    "consumer.shards": text("Changed the shards of a consumer"),
    "consent.granted": text("Recorded a consent"),
    "consent.withdrawn": text("Recorded the withdrawal of a consent"),
    "customer.change": text("Changed a customer"),
    "customer.create": text("Made a customer"),
    "customer.duplicate": text("Judged a possible duplicate"),
    "customer.erase": text("Erased a customer"),
    "customer.export": text("Exported a customer"),
    "customer.lookup": text("Looked a masked number up"),
    "customer.merge": text("Merged customers"),
    "customer.relate": text("Noted a relation"),
    "customer.reveal": text("Saw masked fields"),
    "customer.scan": text("Looked for duplicates"),
    "customer.unmerge": text("Undid a merge"),
    "customer.unrelate": text("Took a relation away"),
    "deadletters.discard": text("Dropped dead letters"),
    "deadletters.replay": text("Offered dead letters again"),
    "demo.begin": text("Began the sample company"),
    "demo.end": text("Completed the sample company"),
    "demo.part": text("Made a part of the sample company"),
    "export.end": text("Completed an export"),
    "export.start": text("Began an export"),
    "field.change": text("Changed a field"),
    "field.create": text("Made a field"),
    "field.layout": text("Ordered the fields"),
    "file.delete": text("Deleted a file"),
    "file.store": text("Stored a file"),
    "import.cancel": text("Cancelled an import"),
    "import.profile.delete": text("Removed an import profile"),
    "import.profile.save": text("Saved an import profile"),
    "import.rejected": text("Fetched rejected rows"),
    "import.start": text("Started an import"),
    "import.undo": text("Undid an import"),
    "job.cancel": text("Cancelled a job"),
    "job.retry": text("Retried a job"),
    "keys.reseal": text("Sealed secrets anew"),
    "keys.rotate": text("Changed the keys"),
    "plugin.close_circuit": text("Called a plugin's hook again"),
    "plugin.disable": text("Disabled a plugin"),
    "plugin.enable": text("Enabled a plugin"),
    "plugin.purge": text("Purged a plugin"),
    "privacy.request": text("Handled a privacy request"),
    "progress.cancel": text("Cancelled background work"),
    "purpose.change": text("Changed a purpose of processing"),
    "purpose.create": text("Made a purpose of processing"),
    "role.change": text("Changed a role"),
    "role.create": text("Made a role"),
    "schedule.run": text("Ran a schedule by hand"),
    "secret.delete": text("Took a secret away"),
    "secret.set": text("Set a secret"),
    "session.create": text("Logged in"),
    "session.end": text("Ended a session"),
    "session.refuse": text("Tried a wrong password"),
    "session.throttle": text("Was kept waiting after wrong passwords"),
    "settings.change": text("Changed settings"),
    "tagging.assign": text("Changed the tags of customers"),
    "tagging.group": text("Changed a tag group"),
    "tagging.tag": text("Changed a tag"),
    "task.change": text("Changed a task"),
    "task.comment": text("Commented on a task"),
    "task.comment.edit": text("Edited a comment"),
    "task.comment.remove": text("Removed a comment"),
    "task.item.add": text("Added to the checklist"),
    "task.item.change": text("Changed the checklist"),
    "task.item.remove": text("Took something off the checklist"),
    "task.create": text("Made a task"),
    "team.change": text("Changed a team"),
    "team.create": text("Made a team"),
    "team.remove": text("Removed a team"),
    "token.create": text("Made a token"),
    "token.revoke": text("Revoked a token"),
    "user.change": text("Changed a user"),
    "user.create": text("Made a user"),
    "user.password": text("Changed the own password"),
    "user.profile": text("Changed the own profile"),
    "view.change": text("Changed a view"),
    "view.create": text("Saved a view"),
    "view.delete": text("Removed a view"),
}
"""Actions of the core and its plugins; others are shown as they are written."""
_THINGS: Mapping[str, Text] = {
    "calendar": text("Calendar {id}"),
    "consumer": text("Consumer {id}"),
    "customer": text("Customer {id}"),
    "customer_field": text("Field {id}"),
    "data_key": text("Data key {id}"),
    "erasure": text("Erasure {id}"),
    "field": text("Field {id}"),
    "file": text("File {id}"),
    "import": text("Import {id}"),
    "import_profile": text("Import profile {id}"),
    "job": text("Job {id}"),
    "key": text("Key {id}"),
    "plugin": text("Plugin {id}"),
    "privacy_request": text("Request of a person {id}"),
    "progress": text("Background work {id}"),
    "purpose": text("Purpose {id}"),
    "role": text("Role {id}"),
    "schedule": text("Schedule {id}"),
    "secret": text("Secret {id}"),
    "session": text("Session {id}"),
    "settings": text("Settings {id}"),
    "tag": text("Tag {id}"),
    "tag_group": text("Tag group {id}"),
    "task": text("Task {id}"),
    "team": text("Team {id}"),
    "token": text("Token {id}"),
    "user": text("User {id}"),
    "command": text("Command {id}"),
    "view": text("View {id}"),
}
_PATHS = {"customer": "/customers", "user": "/users", "role": "/roles", "task": "/tasks", "progress": "/progress"}


def action(word: str, types: Mapping[str, EventType]) -> Text | str:
    """Return what was done, in plain words where they are known; some of it is an event of a registered type."""
    return ACTIONS.get(word) or (types[word].label if word in types else word)


def thing(written: str, users: Mapping[int, str], teams: Mapping[int, str]) -> Text | str:
    """Return an actor or object for people.

    Args:
        written: As it is stored, such as `user:3`.
        users: Names by id.
        teams: Likewise.
    """
    if written == "system":
        return text("The system")
    noun, _, key = written.partition(":")
    names = {"user": users, "team": teams}.get(noun)
    if names is not None and key.isascii() and key.isdigit() and int(key) in names:
        return names[int(key)]
    known = _THINGS.get(noun)
    return Text(known.msgid, {"id": key}) if known is not None and key else written


def path(written: str) -> str:
    """Return the page of an object, or "" if it has none."""
    noun, _, key = written.partition(":")
    return f"{_PATHS[noun]}/{key}" if noun in _PATHS and key.replace("-", "").replace("_", "").isalnum() else ""
