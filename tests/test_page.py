"""The page of lpt-eval --html: one file, everything in it, drawn by a real browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from helpers.policies import model_tree

from lpt.checkpoint.files import save_policy
from lpt.cli.eval import main
from lpt.reporting.views import BoardView
from lpt_envs.connect_four.board import Board

pytestmark = pytest.mark.usefixtures("short_episodes")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page(tmp_path_factory, make_metadata, make_policy_model):
    """A page of a maze, swept."""
    folder = tmp_path_factory.mktemp("page")
    model = make_policy_model(remembered_plans=12)
    model.remembered.add(torch.randn(12, *model.plan_shape))
    planning = {"method": "aggregated", "draws": 2}
    config = {**model_tree(model), "planning": planning, "evaluation": {"sweep": [0.0, 40.0]}}
    policy = save_policy(folder / "policy", model.state_dict(), make_metadata(config=config))
    path = folder / "report.html"
    assert main([str(policy), "--episodes", "3", "--sweep", "--html", str(path)]) == 0
    assert main([str(policy), "--episodes", "1", "--html", str(path)]) == 2  # not overwritten
    return path


def test_it_asks_for_nothing_else(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    own = text[text.index("</head>") :]
    names = re.findall(r'<div id="(\w+)" class="plotly', own)
    assert names == ["targets", "returns", "plans", "trajectory", "episodes"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
def test_a_browser_draws_it_and_pointing_at_a_plan_shows_its_path(page, tmp_path):
    # What the page has drawn is written into its title, which --dump-dom shows.
    probe = """<script>addEventListener('load', () => setTimeout(() => {
      const plans = document.getElementById('plans'), path = document.getElementById('trajectory');
      const before = JSON.stringify(path.data[0].x), title = path.layout.title.text;
      const other = plans.data[0].text.findIndex(text => text !== title);
      const area = plans.querySelector('.nsewdrag'), box = area.getBoundingClientRect();
      const axes = plans._fullLayout, place = plans.data[0];
      area.dispatchEvent(new MouseEvent('mousemove', {bubbles: true, view: window,
        clientX: box.left + axes.xaxis.d2p(place.x[other]),
        clientY: box.top + axes.yaxis.d2p(place.y[other])}));
      setTimeout(() => {
        const moved = JSON.stringify(path.data[0].x) !== before;
        const followed = path.layout.title.text === plans.data[0].text[other];
        const drawn = document.querySelectorAll('.main-svg .scatterlayer .trace').length;
        document.title = JSON.stringify({moved, followed, drawn});
      }, 500);
    }, 500));</script></body>"""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    home = f"--user-data-dir={tmp_path / 'home'}"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", home]
    command = [BROWSER, *flags, "--dump-dom", probed.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=240).stdout
    title = re.search(r"<title>(\{.*?\})</title>", shown)
    assert title, shown[-2000:]
    found = json.loads(title[1])
    assert found["moved"] and found["followed"] and found["drawn"] >= 6, found


def test_a_game_is_drawn_move_by_move():
    board, seen = Board(), []
    for column in (3, 3, 2, 0):
        seen.append(board.observation())
        board = board.play(column)
    trace = BoardView().trace(np.array([seen[0], seen[2], board.observation()]))
    assert list(zip(trace["x"], trace["y"], strict=True)) == [(3, 0), (3, 1), (2, 0), (0, 0)]
    assert trace["text"] == ["1", "2", "3", "4"]
