"""What keeps the bot well without anybody: upkeep, registration, the pace of members, alarms."""
