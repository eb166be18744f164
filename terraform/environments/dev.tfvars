# Cheap, and made to be thrown away.
environment            = "dev"
account_id             = "111122223333"
region                 = "eu-central-1"
nat_per_zone           = false
disposable             = true
api_domain             = "api.dev.studio.example"
api_certificate_arn    = "arn:aws:acm:eu-central-1:111122223333:certificate/00000000-0000-4000-8000-000000000001"
origin_domain          = "origin.dev.studio.example"
origin_certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/00000000-0000-4000-8000-000000000002"
page_origins           = ["https://dev.studio.example"]
price_class            = "PriceClass_100"
logs_days              = 14
queue_node_type        = "cache.t4g.small"
admin_role_arns        = ["arn:aws:iam::111122223333:role/administrators"]
general_nodes          = { instance_types = ["m7i.large"], min = 2, max = 4 }
worker_nodes           = { instance_types = ["c7i.2xlarge", "c7a.2xlarge", "c6i.2xlarge"], min = 0, max = 2 }
alarm_emails           = ["media@studio.example"]
monthly_budget_usd     = 600
