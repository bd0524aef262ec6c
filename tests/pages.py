"""Our pages as those see them who read them; white space as a browser shows it."""

from typing import Any

from bs4 import BeautifulSoup
from django.test import Client


def soup(response: Any) -> BeautifulSoup:
    return BeautifulSoup(response.content, "lxml")


def read(client: Client, path: str) -> BeautifulSoup:
    response = client.get(path)
    assert response.status_code == 200
    return soup(response)


def words(element: Any) -> str:
    assert element is not None
    return " ".join(element.get_text().split())


def text(response: Any, selector: str = "main") -> str:
    element = soup(response).select_one(selector)
    assert element is not None, f"there is no {selector}"
    return words(element)
