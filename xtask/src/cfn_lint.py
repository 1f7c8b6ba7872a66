"""Runs cfn-lint over every template in a folder, on all processors, and says what it finds.

Usage: cfn_lint.py FOLDER. Ends with 1 when there is a finding of any level, warnings included, or no template.
"""

import multiprocessing
import pathlib
import sys

from cfnlint import api
from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

REGIONS = ["eu-central-1"]
# Loading the rules takes longer than linting a template, so each process does it once.
RULES = Runner(ConfigMixIn(regions=REGIONS)).rules


def check(path: str) -> list[str]:
    """The findings in one template, a line each."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    return [f"{path}: {finding}" for finding in api.lint(text, rules=RULES, regions=REGIONS)]


def main() -> int:
    paths = sorted(str(path) for path in pathlib.Path(sys.argv[1]).glob("*.yaml"))
    with multiprocessing.Pool() as pool:
        results = pool.imap_unordered(check, paths, chunksize=16)
        findings = [line for lines in results for line in lines]
    for line in findings[:20]:
        print(line)
    print(f"{len(paths)} templates, {len(findings)} findings")
    return 1 if findings or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
