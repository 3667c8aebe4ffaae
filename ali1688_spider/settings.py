"""Scrapy's settings of the project.

Those of the project, and the log level, come from the environment, else from a file ``.env`` in the
current folder or above it; ``-s NAME=value`` wins over both. An empty value means the default.
What differs from Scrapy's default says why.
"""

from __future__ import annotations

from importlib.util import find_spec as _find_spec

from ali1688_spider.config import DEFAULTS as _DEFAULTS
from ali1688_spider.config import PREFIX as _PREFIX
from ali1688_spider.private_files import environment as _read_environment

_environment = _read_environment(warn=False)  # the commands do, once they know how to log

# The project
BOT_NAME = "ali1688_spider"
SPIDER_MODULES = ["ali1688_spider.spiders"]
NEWSPIDER_MODULE = "ali1688_spider.spiders"
COMMANDS_MODULE = "ali1688_spider.commands"

# The event loop of the extra ``fast``, where it is installed (default: asyncio's own).
ASYNCIO_EVENT_LOOP = "uvloop.Loop" if _find_spec("uvloop") else None

# Checks the configuration, and chooses what depends on it: the scheduler, the pipelines.
ADDONS = {"ali1688_spider.addon.Ali1688Addon": 100}

# What a user may set: config.py says what there is, and what it is by default.
globals().update({name: _environment.get(name) or text for name, text in _DEFAULTS.items()})
# Names that config.py does not know become settings too, so that its check_names() refuses them.
_unknown = {name for name in _environment if name.startswith(_PREFIX)} - _DEFAULTS.keys()
globals().update(dict.fromkeys(_unknown, ""))

# A Redis that hangs must not keep a worker from ending for long (default 30 s); waits are repeated.
# Protocol 3 tells an idle worker of changes (scheduling/listener.py).
REDIS_PARAMS = {"socket_timeout": 5, "socket_connect_timeout": 5, "protocol": 3}

# Requests
REQUEST_FINGERPRINTER_CLASS = "ali1688_spider.http.CallFingerprinter"
# Calls on the wire (default 16): enough for one processor, and for 60 calls a second where each
# takes half a second; a worker that is killed makes others repeat them. Products that wait for the
# database are not among them (scheduling/lease.py). One host serves everything, so that the limit
# per host is the limit.
CONCURRENT_REQUESTS = CONCURRENT_REQUESTS_PER_DOMAIN = 32
# So many bytes of responses wait for it at most (default 5 MB).
SCRAPER_SLOT_MAX_ACTIVE_SIZE = 16 * 1024 * 1024
# Tasks for each response (default 100), which holds one product; spiders of longer ones raise it.
CONCURRENT_ITEMS = 1
# The gateway answers in well under a second; the default, 180 s, would hold a place for 3 minutes.
DOWNLOAD_TIMEOUT = 30
# A response has some tens of kilobytes; the default, 1 GiB, lets one fill the memory.
DOWNLOAD_MAXSIZE = 16 * 1024 * 1024
DOWNLOAD_WARNSIZE = 4 * 1024 * 1024
# Calls carry credentials: the other end has to be who it says.
DOWNLOAD_VERIFY_CERTIFICATES = True
# With aiohttp a crawl takes about a fifth less processor time than with Scrapy's default, Twisted.
_handler = "ali1688_spider.download_handler.DownloadHandler"
# Only HTTP: nothing that a queue or a response says may read files or reach other services.
DOWNLOAD_HANDLERS = {
    "http": _handler,
    "https": _handler,
    "data": None,
    "file": None,
    "ftp": None,
    "s3": None,
}
DEFAULT_REQUEST_HEADERS = {"Accept": "application/json"}
USER_AGENT = "ali1688_spider"
# A signed call must not follow where a response points to.
REDIRECT_ENABLED = METAREFRESH_ENABLED = False
# The gateway has no sessions.
COOKIES_ENABLED = False
# A call's address says nothing about where it came from, and has to stay that way.
REFERER_ENABLED = False
# middlewares/errors.py retries by cause.
RETRY_ENABLED = False
# They put each request and response into words, to count the bytes; ali1688/calls counts calls.
DOWNLOADER_STATS = False

# Components
# From the engine (low) to the wire (high): the signature is the last step.
DOWNLOADER_MIDDLEWARES = {
    "ali1688_spider.middlewares.cache.CacheMiddleware": 100,
    "ali1688_spider.middlewares.errors.ErrorsMiddleware": 200,
    "ali1688_spider.middlewares.compression.CompressionMiddleware": 590,
    "ali1688_spider.middlewares.throttle.ThrottleMiddleware": 900,
    "ali1688_spider.middlewares.signing.SigningMiddleware": 950,
    # What the API client has no use for, and each response would pass through.
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
    # Ours takes its place.
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
}
SPIDER_MIDDLEWARES = {
    # The body decides, not the status.
    "scrapy.spidermiddlewares.httperror.HttpErrorMiddleware": None,
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
    "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
    "scrapy.spidermiddlewares.start.StartSpiderMiddleware": None,
    "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware": None,
}
ITEM_PIPELINES = {
    "ali1688_spider.pipelines.validation.ValidationPipeline": 100,
    "ali1688_spider.pipelines.images.ProductImages": 200,
    "ali1688_spider.pipelines.mongo.MongoPipeline": 300,
    "ali1688_spider.pipelines.watch.WatchPipeline": 400,
}
# Reads the source of every callback at run time.
WARN_ON_GENERATOR_RETURN_VALUE = False

# Doors that a process with secrets keeps shut.
TELNETCONSOLE_ENABLED = REMOTE_CONTROL_ENABLED = False
EXTENSIONS = {
    # Ours take their places.
    "scrapy.extensions.feedexport.FeedExporter": None,
    "scrapy.extensions.logstats.LogStats": None,
    "ali1688_spider.extensions.complete_feeds.Feeds": 0,
    "ali1688_spider.extensions.progress.Progress": 0,
    "ali1688_spider.extensions.results.CrawlRecord": 0,
    "ali1688_spider.extensions.progress.Freshness": 0,
    "ali1688_spider.extensions.message_poller.MessagePoller": 0,
    "ali1688_spider.extensions.product_follower.ProductFollower": 0,
    "ali1688_spider.extensions.results.StatsFile": 0,
    "ali1688_spider.extensions.shared_statistics.StatisticsSharing": 0,
}

# Pictures, with -a images=1
IMAGES_STORE = "images"
IMAGES_THUMBS = {"small": (200, 200)}

# Output
FEED_STORAGES = {
    "": "ali1688_spider.extensions.complete_feeds.FileFeed",
    "file": "ali1688_spider.extensions.complete_feeds.FileFeed",
}
FEED_STORE_EMPTY = False  # what was collected before is not replaced by nothing
FEED_EXPORT_ENCODING = "utf-8"
# Exact decimals, readable nested values, CSV that a spreadsheet opens as it is, and workbooks.
FEED_EXPORTERS = {
    "csv": "ali1688_spider.exporting.feeds.CsvFeed",
    "jsonlines": "ali1688_spider.exporting.feeds.JsonLinesFeed",
    "jsonl": "ali1688_spider.exporting.feeds.JsonLinesFeed",
    "jl": "ali1688_spider.exporting.feeds.JsonLinesFeed",
    "xlsx": "ali1688_spider.exporting.typed_files.XlsxFeed",
}
LOG_LEVEL = _environment.get("LOG_LEVEL") or "INFO"
