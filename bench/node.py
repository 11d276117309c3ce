"""Node.js and the packages that package-lock.json pins: the official SDK and the job queues."""

import os
import shutil
import subprocess

from server import ROOT

# What the SDK needs, and what it is fastest on (a tenth less CPU than on 20).
NODE_MIN, NODE_BEST = 20, 24


def version_of(node):
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def find_node(best):
    """$NODE; else, for figures, the release at which the SDK is fastest; else what scripts/bootstrap found or fetched."""
    folder = os.path.join(ROOT, "build/bench/node")
    fetched = os.path.join(folder, "node_modules/node/bin/node")
    for node in (os.environ.get("NODE"), best and fetched, os.path.join(ROOT, "build/node/bin/node"), shutil.which("node")):
        if node and os.path.exists(node):
            major = int(version_of(node)[1:].split(".")[0])
            if major >= (NODE_BEST if best and node != os.environ.get("NODE") else NODE_MIN):
                return node
    if not best:
        raise SystemExit(f"bench: no Node.js >= {NODE_MIN}: run scripts/bootstrap test")
    npm_in(folder, "install", "--no-save", f"node@{NODE_BEST}")
    return fetched


def npm_in(folder, *arguments):
    os.makedirs(folder, exist_ok=True)
    command = ["npm", "--prefix", folder, *arguments, "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: npm {' '.join(arguments)} failed\n{done.stdout}{done.stderr}".rstrip())


def install_sdk():
    """The SDK as package-lock.json pins it, in build/bench/sdk; returns that folder."""
    here, folder = os.path.join(ROOT, "bench"), os.path.join(ROOT, "build/bench/sdk")
    os.makedirs(folder, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc", "sdk.mjs", "idle.mjs", "soak.mjs"):
        shutil.copy(os.path.join(here, name), folder)
    lock, mark = os.path.join(folder, "package-lock.json"), os.path.join(folder, "node_modules/.installed")
    with open(lock, encoding="utf-8") as file:
        wanted = file.read()
    if not os.path.exists(mark) or open(mark, encoding="utf-8").read() != wanted:
        npm_in(folder, "ci")
        with open(mark, "w", encoding="utf-8") as file:
            file.write(wanted)
    return folder
