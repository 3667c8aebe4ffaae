"""What scrapyd-deploy and older tools build by; pyproject.toml says everything else."""

from setuptools import setup

# The licence stands here since no form of it in pyproject.toml suits every setuptools: that of
# today is refused before 77, that of before is going away.
setup(license="MIT")
