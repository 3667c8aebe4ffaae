"""The error table: which refusal is which error.

Rows are tried from above; the first that fits decides. They are patterns, not lists, because the
platform's documentation is incomplete and its codes come with suffixes
(``isv.item-not-exist:invalid-numIid``).

Source of the numbered codes: https://developer.alibaba.com/docs/doc.htm?articleId=102707&docType=1.
For the others there is no public list; the rows are what the gateway is reported to say.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ali1688_spider.gateway import errors


class Refusal(NamedTuple):
    """What a response says instead of data; empty where it says nothing.

    Attributes:
        origin: Who refuses: the ``gateway``; a ``service`` behind it, at the top of the response;
            or a service within a ``result``, whose numbered codes mean nothing to others.
    """

    code: str = ""
    sub_code: str = ""
    message: str = ""
    origin: Literal["gateway", "service", "result"] = "gateway"

    @property
    def has_gateway_code(self) -> bool:
        """Whether the codes are the gateway's own."""
        return self.origin != "result" or self.code.lower().startswith("gw.")

    @property
    def texts(self) -> tuple[str, ...]:
        """Codes and message, without a code that says nothing."""
        is_bare_number = re.fullmatch(r"[-+\d_.]*", self.code) is not None
        code = "" if is_bare_number and not self.has_gateway_code else self.code
        return code, self.sub_code, self.message


class Row(NamedTuple):
    """One row: a refusal that fits both patterns, whatever its case, is this error.

    Regular expressions: *code* for the whole ``code`` or ``sub_code``, *says* for something in
    codes or message.
    """

    error: type[errors.CallError]
    code: str = r"[\s\S]*"
    says: str = ""

    def fits(self, refusal: Refusal) -> bool:
        """Whether the refusal is this error."""
        codes = refusal.texts[:2]
        has_code = any(re.fullmatch(self.code, code, re.IGNORECASE) for code in codes)
        return has_code and re.search(self.says, " ".join(refusal.texts), re.IGNORECASE) is not None


# {"error_response": {"code", "msg", "sub_code", "sub_msg"}}: router and top
_NUMBERED = (
    Row(errors.ClockError, code=r"30|31|.*timestamp.*"),
    Row(errors.DailyQuotaError, code=r".*(daily|by-day|day-count|per-day).*"),
    # A ban of hours is the day's count, whatever it is called; a shorter one is waited for.
    Row(errors.DailyQuotaError, code="7|8", says=r"ban will last for \d{5,} more second"),
    Row(errors.FlowControlError, code=r"7|8|(isv\.access-|accesscontrol\.)limited-by-.*"),
    Row(
        errors.TokenRefusedError,
        code=r"26|27|(isv\.)?(invalid|missing|expired)-session.*"
        r"|(isv\.)?session-?(key-)?(expired|invalid|not-exist).*",
    ),
    Row(errors.SignatureRefusedError, code=r"24|25|(isv\.)?(invalid|missing)-signature.*"),
    Row(
        errors.AppKeyRefusedError,
        code=r"28|29|(isv\.)?((invalid|missing)-app-?key|app-?key-not-).*",
    ),
    Row(errors.PermissionMissingError, code=r"11|12|13|isv\.(permission-|insufficient-).*"),
    Row(
        errors.ProductGoneError,
        code=r"isv\.(item|product|offer)-(is-)?(not-exist|not-found|delete|removed).*",
    ),
    Row(errors.ServiceError, code=r"4|5|6|10|(isp|accesscontrol)\..*"),
    Row(errors.InvalidCallError, code=r"9|2[1-3]|3[2-4]|4[0-3]|47|isv\..*"),
)

# {"error_code", "error_message", "exception"}, and {"error", "error_description"} of OAuth: param2
# The prefix gw. may be missing.
_NAMED = (
    Row(errors.AuthorizationError, says=r"wrong refresh_?token"),
    Row(errors.PermissionMissingError, says=r"app_?key is not allowed|\(acl\)"),
    Row(errors.AppKeyRefusedError, says=r"app_?key[\s_-]*(is |has )?expired"),
    Row(errors.AppCallLimitError, says=r"beyond the app call frequency limit"),
    Row(
        errors.TokenRefusedError,
        code=r"401|gw\..*(token|authori[sz]ed).*|(access_?)?token(missing|invalid|expired).*",
    ),
    Row(errors.ClockError, code=r"(gw\.)?.*timestamp.*"),
    Row(errors.ClockError, code="400", says=r"request (is|has) expired|timestamp"),
    Row(errors.SignatureRefusedError, code=r"(gw\.)?sign.*"),
    Row(errors.AppKeyRefusedError, code=r"(gw\.)?app_?key.*"),
    Row(errors.ApiUnknownError, code=r"(gw\.)?api(unsupported|notfound|notexist|unknown).*"),
    Row(errors.PermissionMissingError, code=r"gw\..*(acl|permission|forbidden).*|apiacl.*"),
    Row(errors.PackageUsedUpError, code=r"(gw\.)?nousageleft.*"),
    Row(errors.DailyQuotaError, code=r"(gw\.)?qos.*(day|daily).*"),
    Row(errors.FlowControlError, code=r"(gw\.)?qos.*"),
    Row(errors.InvalidCallError, code=r"(gw\.)?param.*"),
    Row(errors.ServiceError, code=r"server_error|temporarily_unavailable|(gw\.)?isp.*"),
    Row(
        errors.AuthorizationError,
        code="(invalid|unsupported)_(grant|client|request|scope|token|grant_type)"
        "|unauthorized_client|access_denied",
    ),
)

# Business errors of either; codes and words are each service's own.
# Missing rights for one product do not close the API: that is decided by the gateway's own codes.
_WORDED = (
    Row(errors.NotCuratedError, says=r"不是精选货源"),
    Row(errors.RelationMissingError, says=r"\bSP0056\b|没有该?商品的?(查询|查看)权限"),
    Row(
        errors.ProductGoneError,
        says=r"(商品|产品|货品|宝贝)(id|编号|信息|[\[【(（][^\]】)）]*[\]】)）]|[\s\d:：,，#'\"])*"
        r"(已经?)?被?(不存在|下架|删除)",
    ),
    Row(
        errors.ProductGoneError,
        says=r"(offer|product|item)(id|info|[\[(][^\])]*[\])]|[\s\d:#'\"_-])*"
        r"((is|does|has been|was|already)[\s_-]*)*"
        r"(not[\s_-]*(exist|found)|deleted|removed|offline)",
    ),
    Row(
        errors.FlowControlError,
        says=r"^429 |频率|频繁|限流|流控|too (many|fast|frequent)|frequency|throttl"
        r"|(flow|rate)[\s_-]?(control|limit)",
    ),
    Row(
        errors.TokenRefusedError,
        says=r"need user (authorized|authenticated)|user authorization is required"
        r"|授权(已|已经)?(过期|失效)"
        r"|access[\s_-]?token.*(expired|invalid|missing|not (exist|found))"
        r"|(expired|invalid|missing) access[\s_-]?token",
    ),
    Row(
        errors.ServiceError,
        says=r"^50[0234] |(系统|服务)(繁忙|异常|错误|不可用)|稍[后候]再?重?试|超时|\bisp\.|busy"
        r"|time[\s_-]?d?[\s_-]?out|unavailable|try (again|later)|internal"
        r"|(system|service|server)[\s_-]?(error|exception)",
    ),
    Row(
        errors.InvalidCallError,
        says=r"不是自己的|status is not published"
        r"|参数|非法|不能为空|无权|没有权限|\bisv\.|param|argument|invalid|illegal|missing"
        r"|required|permission",
    ),
)

_REMOTE_SERVICE = (Row(errors.ServiceError, code="15"),)


def classify(
    protocol: str, refusal: Refusal, *, needs_relation: bool = False
) -> type[errors.CallError]:
    """Return the error that a refusal is; the same number means another in another protocol.

    An API that *needs_relation* says of a living product, too, that it does not exist.
    """
    error = next((row.error for row in _rows(protocol, refusal) if row.fits(refusal)), None)
    if error is None:
        is_gateway = refusal.origin == "gateway"
        return errors.UnknownRefusalError if is_gateway else errors.BusinessRefusalError
    if needs_relation and error is errors.ProductGoneError:
        return errors.RelationMissingError
    return error


def _rows(protocol: str, refusal: Refusal) -> tuple[Row, ...]:
    if not refusal.has_gateway_code:
        return _WORDED
    return _NAMED + _WORDED if protocol == "param2" else _NUMBERED + _WORDED + _REMOTE_SERVICE
