"""The fixture `faithcheck`: tests in Python that share runs and fail in our words. The runs are faked."""

from __future__ import annotations

import pytest

from faithcheck.in_pytest import fixture, sharing  # noqa: F401  (kept between sessions inside this process)

pytest_plugins = ["pytester", "plugin_sessions"]
pytestmark = pytest.mark.usefixtures("alone")


def outcome(pytester, body, *args, **outcomes):
    """pytest's output on one test with the fixture."""
    pytester.makepyfile(f"def test_it(faithcheck):\n    run = faithcheck.run('mine.yaml')\n    {body}\n")
    result = pytester.runpytest(*args, "--ignore=mine.yaml")
    result.assert_outcomes(**outcomes)
    return result.stdout


def test_a_run_of_passes_passes(pytester, faked):
    outcome(pytester, "faithcheck.check(run); assert run.verdict == 'PASS' and len(run.checks) == 6", passed=1)


def test_what_is_no_pass_fails_with_its_sentence_below_the_line_of_the_test(pytester, faked):
    faked.verdicts |= {("pronoun", "layernorm"): "FAIL", ("questions", "sufficiency"): "INCONCLUSIVE"}
    said = outcome(pytester, "faithcheck.check(run)", failed=1)
    said.fnmatch_lines(
        [
            ">   *faithcheck.check(run)",
            "E*Failed: pronoun, layernorm: the circuit does what layernorm says, in FAIL words",
            "E*reproduce: faithcheck run mine.yaml",
        ]
    )
    said.no_fnmatch_line("*fixture.py*")


@pytest.mark.parametrize(
    ("asked", "outcomes"),
    [
        ("'layernorm'", {"failed": 1}),
        ("'sufficiency'", {"passed": 1}),
        ("task='questions'", {"passed": 1}),
        ("'layernorm', task='questions'", {"passed": 1}),
        ("'nonsense_control'", {"failed": 1}),
        ("task='pronoun'", {"failed": 1}),
    ],
)
def test_a_check_or_a_task_can_be_asked_for_alone(pytester, faked, asked, outcomes):
    faked.verdicts |= {("pronoun", "layernorm"): "FAIL", "nonsense_control": "NOT_APPLICABLE"}
    outcome(pytester, f"faithcheck.check(run, {asked})", **outcomes)


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE", "ERROR", "NOT_APPLICABLE"])
def test_only_a_pass_is_a_pass(pytester, faked, verdict):
    faked.verdicts["layernorm"] = verdict
    outcome(pytester, "faithcheck.check(run, 'layernorm')", failed=1)
    lenient = {"skipped": 1} if verdict in ("INCONCLUSIVE", "NOT_APPLICABLE") else {"failed": 1}
    outcome(pytester, "faithcheck.check(run, 'layernorm')", "--faithcheck-allow-inconclusive", **lenient)


def test_a_check_that_the_run_does_not_have_is_refused_with_those_it_has(pytester, faked):
    said = outcome(pytester, "faithcheck.check(run, 'layernrom')", failed=1)
    said.fnmatch_lines(
        ["*the run has no check 'layernrom'; it has sufficiency, nonsense_control, layernorm; did you *"]
    )


def test_a_bad_argument_fails_in_the_line_of_the_test(pytester, faked):
    pytester.makepyfile("def test_it(faithcheck):\n    faithcheck.run('qiuck')\n")
    result = pytester.runpytest("--ignore=mine.yaml")
    result.stdout.fnmatch_lines([">   *faithcheck.run('qiuck')", "E*unknown suite 'qiuck'*did you mean 'quick'[?]"])
    result.stdout.no_fnmatch_line("*fixture.py*")


def test_tests_that_ask_for_the_same_share_one_run_and_others_have_their_own(pytester, faked):
    pytester.makepyfile(
        test_a="def test_a(faithcheck): faithcheck.run('mine.yaml', seeds=1)",
        test_b="""
        def test_same(faithcheck): faithcheck.run('mine.yaml', seeds=1)
        def test_others(faithcheck, tmp_path):
            faithcheck.run('mine.yaml', seeds=2)
            faithcheck.run('mine.yaml', seeds=1, settings=['target_loss=0.2'])
            faithcheck.run('mine.yaml', method='random', model='stories-tiny', device='cpu')
        """,
    )
    pytester.runpytest("--ignore=mine.yaml").assert_outcomes(passed=3)
    assert [arguments[1:-2] for arguments in faked.asked] == [
        ["mine.yaml", "--seeds=1"],
        ["mine.yaml", "--seeds=2"],
        ["mine.yaml", "--seeds=1", "--set=target_loss=0.2"],
        ["mine.yaml", "--method=random", "--model=stories-tiny", "--device=cpu"],
    ]
    assert len({arguments[-1] for arguments in faked.asked}) == 4


def test_a_suite_that_a_test_writes_anew_is_run_anew(pytester, faked):
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_it(faithcheck):
            before = faithcheck.run('mine.yaml')
            path = Path('mine.yaml')
            path.write_text(path.read_text().replace('pronoun, ', ''))
            after = faithcheck.run('mine.yaml')
            assert {check.task for check in after.checks} == {'questions'} < {check.task for check in before.checks}
        """
    )
    pytester.runpytest("--ignore=mine.yaml").assert_outcomes(passed=1)


def test_a_method_that_a_test_writes_anew_is_run_anew(pytester, faked):
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_it(faithcheck):
            for line in ("a = 1", "a = 2"):
                Path("methods.py").write_text(line)
                faithcheck.run("mine.yaml", method="methods.py:Mine")
                faithcheck.run("mine.yaml", method="methods.py:Mine")
        """
    )
    pytester.runpytest("--ignore=mine.yaml").assert_outcomes(passed=1)
    assert len(faked.asked) == 2


def test_a_path_is_taken_from_where_the_test_is(pytester, faked):
    pytester.mkdir("away").joinpath("methods.py").write_text("")
    pytester.makepyfile(
        """
        def test_it(faithcheck, monkeypatch):
            monkeypatch.chdir("away")
            faithcheck.run("../mine.yaml", method="methods.py:Mine", model="loader:methods.py", circuit="c.safetensors")
        """
    )
    pytester.runpytest("--ignore=mine.yaml").assert_outcomes(passed=1)
    [arguments] = faked.asked
    assert arguments[1:5] == [
        "mine.yaml",
        "--method=away/methods.py:Mine",
        "--model=loader:away/methods.py",
        "--circuit=away/c.safetensors",
    ]


def test_a_claim_is_refused_with_what_tests_it(pytester, faked):
    pytester.path.joinpath("claim.yaml").write_text("faithcheck: 1\nclaim: c\n")
    pytester.makepyfile("def test_it(faithcheck): faithcheck.run('claim.yaml')")
    result = pytester.runpytest("--ignore=claim.yaml", "--ignore=mine.yaml")
    result.stdout.fnmatch_lines(["E*claim.yaml: is a claim, and the fixture runs suites; `pytest FILE` tests a claim"])
