"What a person sees: log lines, tables, charts, progress, the report and the model card. Text from data is escaped here."
