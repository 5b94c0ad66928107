"""Answers for a hospital's network: structured reports and secondary captures."""
