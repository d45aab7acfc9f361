"""The app `privacy` for Piccolo's own commands; `zhike migrate` finds its migrations by itself."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from zhike_privacy import tables

APP_CONFIG = AppConfig(
    app_name="privacy",
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes=[getattr(tables, name) for name in tables.__all__],
)
