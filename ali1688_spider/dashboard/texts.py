"""The dashboard's texts in Chinese, as :data:`ali1688_spider.reporting.texts.CHINESE` has them."""

from __future__ import annotations

CHINESE_TEXTS = {
    # Frame
    "Dashboard": "仪表盘",
    "1688 collector": "1688 采集器",
    "Pages": "页面",
    "Overview": "总览",
    "Products": "商品",
    "Changes of today": "今日变化",
    "The connection to the dashboard is lost; trying again": "与仪表盘的连接已断开，正在重试",
    # Numbers
    "All is well.": "一切正常。",
    "waiting": "等待中",
    "running": "进行中",
    "oldest waiting": "最久等待",
    "failed in the last hour": "近一小时失败",
    "products a minute": "每分钟商品",
    "calls left today": "今日剩余调用",
    "calls end at (UTC)": "调用用尽时间 (UTC)",
    "next day begins at (UTC)": "次日开始 (UTC)",
    "fresh": "新鲜度",
    "Products a minute, of the last hour": "近一小时每分钟商品数",
    "From {time} (UTC): {products} products, {calls} calls": (
        "自 {time} (UTC)：{products} 个商品，{calls} 次调用"
    ),
    "at most {count} a minute": "每分钟最多 {count}",
    # Workers and crawls
    "Workers": "工作进程",
    "Process": "进程",
    "Job": "任务",
    "Since (UTC)": "开始 (UTC)",
    "In flight": "处理中",
    "Waiting": "等待中",
    "A minute": "每分钟",
    "Memory": "内存",
    "Waits for": "正在等待",
    "No worker runs.": "没有运行中的工作进程。",
    "Queues": "队列",
    "Queue": "队列",
    "Ready": "可取",
    "Oldest": "最久",
    "Delayed": "延后",
    "Leased": "已租出",
    "Alive workers": "存活的工作进程",
    "Paused": "已暂停",
    "State": "状态",
    "Done at (UTC)": "预计完成 (UTC)",
    "No crawl ran within a day.": "一天内没有采集任务。",
    "finished": "已完成",
    "silent": "无响应",
    "{done} of {total}": "{done} / {total}",
    # Failed calls
    "Failed calls": "失败的调用",
    "No call has failed for good.": "没有最终失败的调用。",
    "{n} call was given up|{n} calls were given up": "{n} 次调用被放弃",
    "By reason, of the last {count}": "按原因（最近 {count} 次）",
    "The last ones": "最近的",
    "Call": "调用",
    "Tries": "尝试次数",
    "Last (UTC)": "最近 (UTC)",
    "Retry": "重试",
    "Retry all of this reason": "重试此原因的全部调用",
    "Retry this call": "重试此调用",
    "Without REDIS_URL calls are retried by the command: scrapy failed retry": (
        "未设置 REDIS_URL 时请用命令重试：scrapy failed retry"
    ),
    "Action": "操作",
    "{n} call is queued again|{n} calls are queued again": "{n} 次调用已重新入队",
    "Not retried: Redis or MongoDB is away": "未重试：Redis 或 MongoDB 不可用",
    # Changes
    "Latest changes": "最新变化",
    "No change has been observed.": "尚未观察到变化。",
    "Without MONGO_URI no changes are kept.": "未设置 MONGO_URI，不保存变化。",
    "Field": "字段",
    # Search of products
    "Search by id, address or name": "按编号、网址或名称搜索",
    "Search": "搜索",
    "The search takes too long: search by id.": "搜索耗时过长，请按编号搜索。",
    "The search takes too long: search by id. Only products that changed since {time} (UTC) were "
    "looked at.": "搜索耗时过长，请按编号搜索。仅查找了自 {time} (UTC) 起有变化的商品。",
    "No product that is stored has these words in its name, or is from such a supplier.": (
        "没有名称或供应商包含这些词的已保存商品。"
    ),
    "Products that were found": "找到的商品",
    "Products that changed last": "最近有变化的商品",
    "There are more than these {count}.": "还有更多，此处仅显示 {count} 个。",
    "These {count} changed last.": "这是最近有变化的 {count} 个。",
    "Fetched (UTC)": "采集时间 (UTC)",
    "Changed (UTC)": "变化时间 (UTC)",
    # One product
    "The page on 1688": "1688 页面",
    "private": "私密",
    "price": "价格",
    "highest price": "最高价",
    "promotion price": "促销价",
    "price of one piece": "单件价",
    "drop-shipping price": "代发价",
    "stock": "库存",
    "status": "状态",
    "Price by quantity": "阶梯价",
    "From pieces": "起订件数",
    "Category": "类目",
    "Minimum order": "起订量",
    "Unit": "单位",
    "Ships from": "发货地",
    "Sold in 30 days": "30 天销量",
    "First seen (UTC)": "首次采集 (UTC)",
    "Time of the curves": "走势时间",
    "24 hours": "24 小时",
    "{count} days": "{count} 天",
    "There are too many changes: the curves show the last {count}, those since {time} (UTC).": (
        "变化过多：走势仅含最近 {count} 次，自 {time} (UTC) 起。"
    ),
    "SKUs": "规格",
    "SKU": "规格",
    "Attributes": "属性",
    "Last change (UTC)": "最近变化 (UTC)",
    "What": "内容",
    "On sale": "在售",
    "yes": "是",
    "no": "否",
    "{field} from {quantity} pieces on": "{quantity} 件起的{field}",
    "Curves of the SKUs that changed most": "变化最多的规格走势",
    "Last changes": "最近变化",
    # Changes of a time
    "Changes of the last {n} hour|Changes of the last {n} hours": "近 {n} 小时的变化",
    "Time of the changes": "变化时间范围",
    "1 hour": "1 小时",
    "{count} hours": "{count} 小时",
    "There are too many changes: the last {count} are counted, those since {time} (UTC).": (
        "变化过多：仅统计最近 {count} 次，自 {time} (UTC) 起。"
    ),
    "Since {time} (UTC), {china} in China, until now.": "自 {time} (UTC)，北京时间 {china}，至今。",
    "On your clock since": "按您的时钟，起始于",
    "back in stock": "恢复有货",
    "off sale": "下架",
    "back on sale": "重新上架",
    "gone from the platform": "从平台消失",
    "promotions began": "开始促销",
    "promotions ended": "结束促销",
    "No change was observed in this time.": "此期间没有观察到变化。",
    # Pages that cannot be shown
    "No products are stored here, because MONGO_URI is empty: set it to the address of a MongoDB, "
    "or run scrapy up --write, and start the dashboard again.": (
        "MONGO_URI 为空，未保存任何商品：请设为 MongoDB 的地址，或运行 scrapy up --write，"
        "然后重新启动仪表盘。"
    ),
    "MongoDB does not answer": "MongoDB 没有响应",
    "MongoDB takes too long to answer: choose a shorter time, or try again.": (
        "MongoDB 响应过慢：请选择更短的时间，或稍后再试。"
    ),
    "MongoDB is away, so there are no products to show. The overview says what is wrong with it; "
    "this page works again as soon as it is back.": (
        "MongoDB 不可用，无法显示商品。总览页说明原因；恢复后本页即可使用。"
    ),
    "No product id": "不是商品编号",
    "That is no product id: an id has digits only, such as {example}.": (
        "这不是商品编号：编号只含数字，例如 {example}。"
    ),
    "Not stored": "未保存",
    "No product with the id {id} is stored.": "没有保存编号为 {id} 的商品。",
    "No such time": "时间范围无效",
    "The curves are of 1, 7, 30 or 90 days.": "走势可为 1、7、30 或 90 天。",
    "The hours can be a whole number from 1 to 168.": "小时数须为 1 至 168 的整数。",
    # Token
    "Token of the dashboard": "仪表盘令牌",
    "The token is printed by scrapy dashboard, or is ALI1688_DASHBOARD_TOKEN.": (
        "令牌由 scrapy dashboard 打印，或为 ALI1688_DASHBOARD_TOKEN。"
    ),
    "Continue": "继续",
    "Cancel": "取消",
    # Problems
    "{server} is away: {error}": "{server} 不可用：{error}",
    "start it, or correct {setting}; workers wait for it": (
        "请启动它，或修正 {setting}；工作进程会等待"
    ),
    "The gateway takes no calls: one worker at a time tries it, the others wait": (
        "网关不接受调用：每次由一个工作进程试探，其余等待"
    ),
    "look at the platform, the proxy and ALI1688_GATEWAY": "请检查平台、代理和 ALI1688_GATEWAY",
    "The platform asked for a pause, of which {seconds} s are left": (
        "平台要求暂停，还剩 {seconds} 秒"
    ),
    "lower ALI1688_QPS if this happens often; scrapy doctor --end-pause ends it": (
        "若经常发生请降低 ALI1688_QPS；scrapy doctor --end-pause 可结束暂停"
    ),
    "Today's {quota} calls are used up until {time} UTC": (
        "今日 {quota} 次调用已用完，{time} (UTC) 恢复"
    ),
    "wait, or raise ALI1688_DAILY_QUOTA if the app has more": (
        "请等待；若应用有更多配额，请提高 ALI1688_DAILY_QUOTA"
    ),
    "Today's calls will be used up at about {time} UTC": "今日调用约在 {time} (UTC) 用完",
    "watch fewer products or less often, or raise ALI1688_DAILY_QUOTA": (
        "请减少监控的商品或频率，或提高 ALI1688_DAILY_QUOTA"
    ),
    "The authorisation of the app ends at {time} UTC": "应用授权将于 {time} (UTC) 到期",
    "authorise it again: scrapy auth": "请重新授权：scrapy auth",
    "{count} calls of {spider} wait, and no worker is there": (
        "{spider} 有 {count} 次调用等待，但没有工作进程"
    ),
    "start one: scrapy crawl {spider}": "请启动：scrapy crawl {spider}",
    "Workers of {spider} are silent and hold calls: {names}": (
        "{spider} 的工作进程无响应且占有调用：{names}"
    ),
    "look at their logs; others take the calls over": "请查看其日志；其他进程会接手这些调用",
    "Nothing was stored for {minutes} minutes, though calls wait": (
        "有调用等待，但 {minutes} 分钟内未保存任何商品"
    ),
    "the workers wait for {reasons}": "工作进程正在等待：{reasons}",
    "look at the workers' logs": "请查看工作进程的日志",
    "The crawl {spider} of {worker} was killed": "{worker} 的采集 {spider} 被终止",
    "start it again; what it had leased goes to others": "请重新启动；其租用的调用由其他进程接手",
    "The crawl {spider} of {worker} ended as {reason}": (
        "{worker} 的采集 {spider} 以 {reason} 结束"
    ),
    "correct ALI1688_APP_KEY, ALI1688_APP_SECRET and the tokens: scrapy doctor": (
        "请修正 ALI1688_APP_KEY、ALI1688_APP_SECRET 和令牌：scrapy doctor"
    ),
    "ask for the API's permission, or choose another: scrapy doctor": (
        "请申请该接口的权限，或换用其他接口：scrapy doctor"
    ),
    "start it again on the next day (GMT+8), or raise ALI1688_DAILY_QUOTA": (
        "请在次日（北京时间）重新启动，或提高 ALI1688_DAILY_QUOTA"
    ),
    "start MongoDB, or correct MONGO_URI; then start the crawl again": (
        "请启动 MongoDB 或修正 MONGO_URI，然后重新启动采集"
    ),
    "look at the crawl's log; then start it again": "请查看采集日志，然后重新启动",
    "{percent} % of the calls of the last {minutes} minutes failed": (
        "最近 {minutes} 分钟有 {percent}% 的调用失败"
    ),
    "see scrapy failed list --by-error, and the logs": "见 scrapy failed list --by-error 和日志",
    "{count} calls were given up in the last hour": "近一小时有 {count} 次调用被放弃",
    "scrapy failed list --by-error says why, scrapy failed retry tries them again": (
        "scrapy failed list --by-error 给出原因，scrapy failed retry 重试"
    ),
    "{count} changes wait for the webhook, the oldest since {time} UTC": (
        "{count} 条变化等待 webhook，最早自 {time} (UTC)"
    ),
    "look at the receiver of ALI1688_WEBHOOK_URL: scrapy doctor tests it": (
        "请检查 ALI1688_WEBHOOK_URL 的接收端：scrapy doctor 可测试"
    ),
    "Only {percent} % of the watched products are fresh": "仅 {percent}% 的监控商品是新鲜的",
    "watch fewer, raise the quota, or use ALI1688_MESSAGES=poll": (
        "请减少监控商品、提高配额，或使用 ALI1688_MESSAGES=poll"
    ),
}
