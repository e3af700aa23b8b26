"What a person sees: log lines, tables, charts, progress, report and model card. Text from data is escaped here."
