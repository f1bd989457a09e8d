"""The Discord client and what only it needs: settings, store, sentences, jobs, posts."""
