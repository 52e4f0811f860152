"""The long run: real servers behind our proxies, writers, a seeded schedule of faults, and the checks at its end."""
