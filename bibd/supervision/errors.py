"""What the kernel raises. A refusal is a typed reply; these are for what cannot be answered at all."""

from __future__ import annotations

from bibd.errors import BibdError


class SupervisionError(BibdError):
    """Root of the kernel's own errors."""


class SpecError(SupervisionError):
    """The tree as described cannot exist: a duplicate id, an unknown dependency, a cycle, a bad number."""


class AskError(SupervisionError):
    """A request got no reply."""


class AskTimeoutError(AskError, TimeoutError):
    """No reply within the caller's timeout. The request may still be handled."""


class ActorDownError(AskError):
    """The callee is not running, or went down before it replied."""


class ActorCrashedError(AskError):
    """The callee crashed while it handled this request; its exception is ``__cause__``."""


class InboxFullError(AskError):
    """The callee's bounded work lane is full."""


class BlockingAskError(SupervisionError):
    """A handler asked an actor that is not its own child: two such actors could wait for each other for ever."""


class UnansweredRequestError(SupervisionError):
    """A handler returned from a request without a reply or a promise of one."""


class StartFailedError(SupervisionError):
    """The tree did not become ready."""
