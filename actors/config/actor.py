"""The configuration: holds what is in force, reads it again, tells who is concerned."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from actors.config.messages import ConfigMessage, GetSettings, Reload
from actors.health.messages import Health, PolicyChanged
from actors.provisioner.messages import Provisioner, ReleaseChanged
from bibd.admin.schema import ReloadReport
from bibd.config.load import Loaded
from bibd.config.model import Settings
from bibd.config.reload import compare, live_only
from bibd.errors import BibdError
from bibd.health import Policy
from bibd.supervision import Actor, Answer, Context


def policy(settings: Settings) -> Policy:
    health = settings.database.postgres.health
    return Policy(
        interval=health.interval,
        timeout=health.timeout,
        startup_timeout=health.startup_timeout,
        action=health.action,
        max_retries=health.max_retries,
        retry_backoff=health.retry_backoff,
    )


def wish(settings: Settings) -> ReleaseChanged:
    postgres = settings.database.postgres
    return ReleaseChanged(postgres.stop_on_shutdown, postgres.checkpoint_on_shutdown)


class ConfigActor(Actor[ConfigMessage]):
    """``load`` reads all sources anew; ``apply`` puts into force what is no actor's (the log's level)."""

    def __init__(
        self, ctx: Context, settings: Settings, load: Callable[[], Loaded], apply: Callable[[Settings], None]
    ) -> None:
        self._settings = settings
        self._load = load
        self._apply = apply
        self._health = ctx.ref("health", Health)
        self._provisioner = ctx.ref("provisioner", Provisioner)

    def receive(self, msg: ConfigMessage) -> Answer:
        match msg:
            case GetSettings():
                return msg.reply(self._settings)
            case Reload():
                try:
                    return msg.reply(self._reload())
                except BibdError as refusal:
                    return msg.reply(refusal)
            case _:
                assert_never(msg)

    def _reload(self) -> ReloadReport:
        loaded = self._load()
        changes = compare(self._settings, loaded.settings)
        # Only what is live is taken over: a key that needs a restart stays as it is, and is named at each reload.
        self._settings = live_only(self._settings, loaded.settings)
        self._apply(self._settings)
        self._health.tell(PolicyChanged(policy(self._settings)))
        self._provisioner.tell(wish(self._settings))
        return ReloadReport(changed=changes.live, restart_required=changes.restart, warnings=loaded.warnings)
