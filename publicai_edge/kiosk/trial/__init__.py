"""Trying the services of a kiosk: questions with known answers, asked as a patron asks, and a score.

The kiosk is asked over HTTP, whoever started it. What came back is judged by pure functions, and told as a table, as
JSON, as Markdown and as a page.
"""
