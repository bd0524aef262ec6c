from django import template

from contests import lengths

register = template.Library()
register.filter(lengths.duration)
register.filter(lengths.countdown)
