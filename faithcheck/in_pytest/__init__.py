"""Suites as tests of pytest. `faithcheck.pytest_plugin` imports this when there is one."""
