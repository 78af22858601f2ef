// Made by `edgebus schema typescript mahavishnu`.

export interface Mahavishnu {
  "workflow.started": { workflow_id: string; timestamp: string };
  "workflow.stage_completed": { workflow_id: string; stage_name: string; result: Record<string, unknown>; timestamp: string };
  "workflow.completed": { workflow_id: string; result: unknown; timestamp: string };
  "workflow.failed": { workflow_id: string; error: string; timestamp: string };
  "pool.status_changed": { pool_id: string; status: Record<string, unknown>; timestamp: string };
  "pool.spawned": { pool_id: string; config: Record<string, unknown>; timestamp: string };
  "pool.scaled": { pool_id: string; worker_count: number; timestamp: string };
  "pool.closed": { pool_id: string; timestamp: string };
  "worker.status_changed": { worker_id: string; pool_id: string; status: string; timestamp: string };
  "worker.added": { worker_id: string; pool_id: string; timestamp: string };
  "worker.removed": { worker_id: string; pool_id: string; timestamp: string };
  "task.assigned": { worker_id: string; pool_id: string; task: Record<string, unknown>; timestamp: string };
  "task.completed": { worker_id: string; pool_id: string; result: Record<string, unknown>; timestamp: string };
  "team.created": { team_id: string; team_name: string; goal: string; mode: string; timestamp: string };
  "team.parsed": { goal: string; intent: string; skills: unknown[]; confidence: number; timestamp: string };
  "team.execution_started": { team_id: string; task: string; timestamp: string };
  "team.execution_completed": { team_id: string; success: boolean; duration_ms: number; timestamp: string };
  "team.error": { team_id: string; error_code: string; message: string; timestamp: string };
  "adapter.registered": { adapter_id: string; adapter_name: string; capabilities: unknown[]; provider: string; source: string; timestamp: string };
  "adapter.health_changed": { adapter_id: string; adapter_name: string; old_status: string; new_status: string; details?: Record<string, unknown>; timestamp: string };
  "adapter.enabled": { adapter_id: string; adapter_name: string; enabled: true; reason?: string | null; timestamp: string };
  "adapter.disabled": { adapter_id: string; adapter_name: string; enabled: false; reason?: string | null; timestamp: string };
  "adapter.routing_decision": { task_type: string; selected_adapter: string; capabilities_matched: unknown[]; latency_ms: number; fallback_used: boolean; timestamp: string };
  "worker.availability_changed": { worker_type: string; state: string; reason_bucket: string; probe_at: string; timestamp: string };
  "learning.metrics": { patterns_strengthened: number; patterns_weakened: number; model_retrains: number; avg_confidence_score: number; timestamp: string };
  "skill.effectiveness": { skill_name: string; success_rate: number; total_attempts: number; avg_confidence: number; timestamp: string };
  "strategy.recommender": { recommendations_made: number; high_confidence_count: number; avg_success_rate: number; timestamp: string };
}

export interface MahavishnuRequests {
  "get_workflow_status": { data: { workflow_id: string }; answer: { workflow_id: string; status: "running" | "completed" | "failed" | "not_found"; stages_completed?: number; stages?: string[]; started_at?: string | null; updated_at?: string | null; result?: Record<string, unknown> | string | null; error?: string | null } };
  "get_pool_status": { data: { pool_id: string }; answer: { pool_id: string; status: string; details?: Record<string, unknown>; workers?: { worker_id: string; status: string }[] } };
}

// Made by `edgebus schema typescript akosha`.

export interface Akosha {
  "pattern.detected": { pattern_id: string; pattern_type: string; description: string; confidence: number; timestamp: string };
  "anomaly.detected": { anomaly_id: string; anomaly_type: string; severity: "low" | "medium" | "high" | "critical"; description: string; metrics: Record<string, unknown>; timestamp: string };
  "insight.generated": { insight_id: string; insight_type: string; title: string; description: string; data: Record<string, unknown>; timestamp: string };
  "aggregation.completed": { aggregation_id: string; aggregation_type: string; record_count: number; summary: Record<string, unknown>; timestamp: string };
}

export interface AkoshaRequests {
  "get_patterns": { data: { category?: string | null; limit?: number }; answer: { category: string; patterns: Record<string, unknown>[]; count: number } };
  "get_anomalies": { data: { severity?: "low" | "medium" | "high" | "critical" | null; limit?: number }; answer: { anomalies: Record<string, unknown>[]; count: number } };
}

// Made by `edgebus schema typescript crackerjack`.

export interface Crackerjack {
  "test.started": { run_id: string; test_suite: string; total_tests: number; timestamp: string };
  "test.completed": { run_id: string; tests_completed: number; tests_failed: number; duration_seconds: number; timestamp: string };
  "test.failed": { run_id: string; test_name: string; error: string; traceback: string; timestamp: string };
  "test.case_completed": { run_id: string; test_name: string; outcome: "passed" | "failed" | "skipped"; duration_seconds: number; timestamp: string };
  "quality_gate.checked": { project: string; gate_name: string; status: string; score: number; threshold: number; quality_gate_report?: Record<string, unknown> | null; timestamp: string };
  "coverage.updated": { project: string; line_coverage: number; branch_coverage: number; path_coverage: number; timestamp: string };
}

export interface CrackerjackRequests {
  "get_test_status": { data: { run_id: string }; answer: { run_id: string; status: "running" | "passed" | "failed" | "not_found"; test_suite?: string | null; total_tests?: number | null; tests_completed?: number; tests_failed?: number; failures?: { test_name: string; error: string }[]; duration_seconds?: number | null } };
  "get_quality_gate": { data: { project: string }; answer: { project: string; status: "passed" | "failed" | "not_found"; gates?: { gate_name: string; status: string; score: number; threshold: number }[] } };
}

// Made by `edgebus schema typescript session-buddy`.

export interface SessionBuddy {
  "metrics_update": { top_skills: { skill_name: string; total_invocations: number; completion_rate: number; avg_duration_seconds: number }[]; anomalies: { skill_name: string; detected_at: string; anomaly_type: string; deviation_score: number | null }[]; timestamp: string };
  "session.created": { session_id: string; timestamp: string };
  "session.updated": { session_id: string; timestamp: string };
  "session.checkpoint": { session_id: string; timestamp: string };
  "session.closed": { session_id: string; timestamp: string };
  "knowledge.captured": { knowledge_id: string; session_id: string; summary: string; timestamp: string };
  "knowledge.search_result": { query: string; results: unknown[]; timestamp: string };
}

// Made by `edgebus schema typescript dhruva`.

export interface Dhruva {
  "adapter.stored": { adapter_id: string; timestamp: string };
  "adapter.updated": { adapter_id: string; timestamp: string };
  "adapter.distributed": { adapter_id: string; repo: string; timestamp: string };
  "storage.event": { storage_type: string; timestamp: string };
  "adapter.activated": { adapter_id: string; repo: string; timestamp: string };
  "adapter.deactivated": { adapter_id: string; repo: string; reason: string; timestamp: string };
  "adapter.swapped": { old_adapter: string; new_adapter: string; repo: string; timestamp: string };
  "distribution.completed": { repo: string; adapters: unknown[]; adapters_count: number; duration: number; timestamp: string };
  "adapter.acknowledged": { adapter_id: string; repo: string; agent_id: string; timestamp: string };
  "distribution.overdue": { repo: string; adapters: unknown[]; missing: unknown[]; duration: number; timestamp: string };
  "registry.updated": { registry_version: string; changes: Record<string, unknown>; timestamp: string };
  "lifecycle.changed": { entity_type: string; entity_id: string; old_state: string; new_state: string; timestamp: string };
}

export interface DhruvaRequests {
  "get_adapter_status": { data: { adapter_id: string }; answer: { adapter_id: string; status: "active" | "inactive" | "stored" | "not_found"; adapter?: Record<string, unknown> } };
  "get_distribution_status": { data: { repo: string }; answer: { repo: string; status: "distributing" | "completed" | "not_found"; adapters?: unknown[]; last_completed_at?: string | null } };
  "list_adapters": { data: { limit?: number }; answer: { adapters: { adapter_id: string; status: "active" | "inactive" | "stored" | "not_found"; adapter?: Record<string, unknown> }[]; count: number } };
  "join_repository": { data: { repo: string; agent_id?: string | null; agent_info?: Record<string, unknown> }; answer: { repo: string; agent_id: string; status: "joined" | "left" } };
  "leave_repository": { data: { repo: string; agent_id?: string | null; agent_info?: Record<string, unknown> }; answer: { repo: string; agent_id: string; status: "joined" | "left" } };
  "get_agents": { data: { repo: string }; answer: { repo: string; users: Record<string, unknown>[]; count: number } };
}

// Made by `edgebus schema typescript excalidraw`.

export interface Excalidraw {
  "diagram.created": { diagram_id: string; timestamp: string };
  "diagram.updated": { diagram_id: string; timestamp: string };
  "element.added": { diagram_id: string; element: Record<string, unknown>; user_id: string; timestamp: string };
  "element.updated": { diagram_id: string; element_id: string; changes: Record<string, unknown>; user_id: string; timestamp: string };
  "element.deleted": { diagram_id: string; element_id: string; user_id: string; timestamp: string };
  "cursor.moved": { diagram_id: string; user_id: string; position: Record<string, unknown>; timestamp: string };
  "selection.changed": { diagram_id: string; user_id: string; selected_elements: unknown[]; timestamp: string };
  "user.joined": { diagram_id: string; user_id: string; user_info: Record<string, unknown>; timestamp: string };
  "user.left": { diagram_id: string; user_id: string; timestamp: string };
  "diagram.saved": { diagram_id: string; storage_key: string; timestamp: string };
  "diagram.locked": { diagram_id: string; user_id: string; reason: string; timestamp: string };
  "diagram.unlocked": { diagram_id: string; user_id: string; timestamp: string };
}

export interface ExcalidrawRequests {
  "get_diagram_status": { data: { diagram_id: string }; answer: { diagram_id: string; status: "found" | "not_found"; diagram?: Record<string, unknown>; locked_by?: string | null } };
  "get_elements": { data: { diagram_id: string }; answer: { diagram_id: string; status: "found" | "not_found"; elements?: Record<string, unknown>[]; count?: number } };
  "join_collaboration": { data: { diagram_id: string; user_id?: string | null; user_info?: Record<string, unknown> }; answer: { diagram_id: string; user_id: string; status: "joined" | "left" } };
  "leave_collaboration": { data: { diagram_id: string; user_id?: string | null }; answer: { diagram_id: string; user_id: string; status: "joined" | "left" } };
  "get_active_users": { data: { diagram_id: string }; answer: { diagram_id: string; users: Record<string, unknown>[]; count: number } };
  "broadcast_cursor": { data: { diagram_id: string; user_id?: string | null; position: Record<string, unknown> }; answer: { diagram_id: string; status: "published"; id: string } };
}

// Made by `edgebus schema typescript fastblocks`.

export interface Fastblocks {
  "ui.updated": { component_id: string; timestamp: string };
  "component.rendered": { component_id: string; timestamp: string };
  "component.updated": { component_id: string; props: Record<string, unknown>; state: Record<string, unknown>; timestamp: string };
  "component.mounted": { component_id: string; page_id: string; timestamp: string };
  "component.unmounted": { component_id: string; page_id: string; timestamp: string };
  "page.rendered": { page_id: string; duration: number; component_count: number; timestamp: string };
  "state.changed": { component_id: string | null; state_path: string; old_value: unknown; new_value: unknown; timestamp: string };
  "hot_reload.triggered": { file_path: string; affected_components: unknown[]; timestamp: string };
  "render.started": { component_id: string; render_type: string; timestamp: string };
  "render.completed": { component_id: string; duration: number; result: Record<string, unknown>; timestamp: string };
  "render.failed": { component_id: string; error: string; timestamp: string };
}

export interface FastblocksRequests {
  "get_component_state": { data: { component_id: string }; answer: { component_id: string; status: "found" | "not_found"; props?: Record<string, unknown>; state?: Record<string, unknown> } };
  "get_component_status": { data: { component_id: string }; answer: { component_id: string; status: "mounted" | "unmounted" | "not_found"; page_id?: string | null } };
  "get_state": { data: { state_path: string }; answer: { state_path: string; status: "found" | "not_found"; value?: unknown } };
  "get_page_status": { data: { page_id: string }; answer: { page_id: string; status: "found" | "not_found"; component_count?: number; duration?: number | null } };
  "trigger_render": { data: { component_id: string; render_type?: string; [key: string]: unknown }; answer: { component_id: string; status: "started" | "completed" | "failed"; [key: string]: unknown } };
  "register_component": { data: { component_id: string; page_id: string; [key: string]: unknown }; answer: { component_id: string; page_id: string; status?: "registered" | "known"; [key: string]: unknown } };
}
