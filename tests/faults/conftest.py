"""Fixtures that fault tests share with others."""

from __future__ import annotations

from tests.migrations.conftest import server

__all__ = ["server"]
