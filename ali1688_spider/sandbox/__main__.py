"""``python -m ali1688_spider.sandbox``: the same as ``scrapy sandbox``."""

import argparse
import asyncio

from ali1688_spider.sandbox import DESCRIPTION
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.server import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser("ali1688_spider.sandbox", description=DESCRIPTION)
    Options.add_arguments(parser)
    try:
        asyncio.run(run(Options.from_arguments(parser.parse_args())))
    except (ValueError, OSError) as error:
        parser.error(str(error))
