"""The registry: adding a platform is one file here and one line below."""

from contests.platforms.atcoder import AtCoder
from contests.platforms.base import Platform
from contests.platforms.codechef import CodeChef
from contests.platforms.codeforces import Codeforces
from contests.platforms.leetcode import LeetCode

PLATFORMS: dict[str, type[Platform]] = {
    platform.code: platform for platform in (Codeforces, LeetCode, CodeChef, AtCoder)
}
